//! What the kernel programs and user space share: the layout of every map, the
//! parser, and the one decision that both sides run.
//!
//! Rules for every type that crosses into a map:
//! - An integer is in host byte order; a byte array is in network order and
//!   occurs only in headers ([`wire`]).
//! - `repr(C)`, no padding, every bit pattern a value; a `const` assertion fixes
//!   the size. No `bool`, `Option` or Rust `enum` crosses: newtypes with
//!   constants do.
//! - Flow keys are built from words: one built byte by byte on the BPF stack
//!   makes the compiler emit `memset`, which does not link.
#![cfg_attr(not(test), no_std)]

#[cfg(any(test, feature = "user"))]
extern crate alloc;

pub mod address;
mod admit;
pub mod bridge;
pub mod cell;
pub mod control;
pub mod counter;
pub mod decide;
pub mod dropped;
pub mod essential;
pub mod event;
pub mod failsafe;
pub mod flow;
pub mod fragment;
pub mod idle;
pub mod layout;
pub mod limits;
pub mod link;
pub mod lookup;
pub mod neighbour;
pub mod packet;
pub mod parse;
pub mod question;
pub mod route;
pub mod terms;
pub mod translated;
pub mod verdict;
pub mod wire;
pub mod zone;
