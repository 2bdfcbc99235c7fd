//! Random policies and packets, the same for the same seed.

mod addresses;
mod edges;
pub mod frames;
mod packets;
mod policy;
mod rng;
mod services;
mod terms;

pub use packets::{Arrival, Packets};
pub use policy::Draft;
pub use rng::Rng;
