//! Puts one policy in place of another, and takes everything away again.
//!
//! What is true at any moment is in the kernel: the map `control` says which
//! generation is active, and the state file of that generation says which policy
//! that is. A state file is written before its generation becomes active, and
//! removed after, so that a crash leaves the old policy or the new one. Whether a
//! policy waits to be confirmed, and until when, is in `control` too.

pub mod apply;
pub mod boot;
mod closed;
pub mod confirm;
pub mod counters;
pub mod detach;
pub mod doctor;
mod error;
pub mod events;
pub mod explain;
mod grow;
mod install;
pub mod instance;
mod lock;
mod machine;
mod migrate;
pub mod pickup;
mod programs;
pub mod prune;
pub mod query;
pub mod refresh;
mod sealed;
mod settle;
mod shrink;
mod ssh;
pub mod state;
mod stations;
pub mod status;
pub mod store;
mod tags;

pub use apply::{Applied, ApplyOptions, apply};
pub use boot::{Booted, boot};
pub use confirm::{Confirmed, RolledBack, confirm, rollback};
pub use counters::{Counters, counters};
pub use detach::detach;
pub use error::ControllerError;
pub use explain::{Explanation, explain};
pub use grow::{capacity, tables};
pub use instance::Instance;
pub use lock::Lock;
pub use machine::{machine, machine_for};
pub use pickup::pickup;
pub use prune::{Pruned, prune};
pub use query::Query;
pub use refresh::{Glance, Refreshed, glance, refresh};
pub use status::{Status, status};
