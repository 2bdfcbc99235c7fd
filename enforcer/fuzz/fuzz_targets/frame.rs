//! Any bytes as a frame at any hook.
#![no_main]
// What the tests share holds more than a target needs.
#![expect(dead_code, reason = "modules of the tests are used in part")]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/verdicts/compare.rs"]
mod compare;
#[path = "../../tests/verdicts/compiled.rs"]
mod compiled;
#[path = "../../tests/verdicts/crossing.rs"]
mod crossing;
#[path = "../../tests/corpus/frame.rs"]
mod frame;
#[path = "../../tests/decide/in_process.rs"]
mod in_process;
#[path = "../../tests/verdicts/oracle/mod.rs"]
mod oracle;
#[path = "../../tests/verdicts/world.rs"]
mod world;

fuzz_target!(|bytes: &[u8]| frame::check(bytes));
