//! Everything that talks to the Linux kernel: the programs and their maps, the
//! links that attach them, interfaces, addresses and routes.
//!
//! Nothing here knows a policy. A [`set::Set`] is one loaded object, programs
//! and maps, pinned in a folder of its own below [`pins::Pins`].

#[cfg(test)]
mod accepted;
mod btf;
pub mod carry;
mod cells;
pub mod clock;
pub mod counters;
mod dump;
mod error;
pub mod ethtool;
pub mod events;
mod filter;
pub mod flows;
pub mod forwarding;
pub mod inspect;
pub mod links;
pub mod maps;
mod memory;
pub mod netfilter;
pub mod netlink;
pub mod news;
pub mod object;
pub mod owner;
pub mod pending;
pub mod pins;
pub mod probe;
pub mod prune;
pub mod routes;
pub mod set;
mod shape;
mod sys;
pub mod trial;
pub mod xdp_features;

pub use error::{KernelError, in_one_line};
