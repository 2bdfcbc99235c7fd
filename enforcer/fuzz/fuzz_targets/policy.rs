//! Any bytes as the text of a policy.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/corpus/policy.rs"]
mod policy;

fuzz_target!(|bytes: &[u8]| policy::check(bytes));
