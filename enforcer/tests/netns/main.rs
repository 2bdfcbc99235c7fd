//! Real traffic through a router that enforces a policy.
//!
//! Each test has a router, hosts and pins of its own, so the tests run beside each
//! other. They need root, and fail without it.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod actions;
mod applier;
mod apply;
mod asker;
mod boot;
mod bridges;
mod confirm;
mod counters;
mod crash;
mod daemon;
mod detach;
mod devices;
mod doctor;
mod either;
mod events;
mod failing_apply;
mod faults;
mod flows;
mod follow;
mod footprint;
mod foreign;
mod fragments;
mod hooks;
mod icmp_errors;
mod killed;
mod limits;
mod loose;
mod macs;
mod masquerade;
mod memory;
mod migrate;
mod neighbours;
mod network;
mod numbered;
mod packets;
mod pickup;
mod plain;
mod prune;
mod quiet;
mod router;
mod ssh;
mod state_files;
mod stream;
mod swap;
mod tags;
mod units;
