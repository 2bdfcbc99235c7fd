//! Random policies and packets, the same for the same seed.

mod addresses;
mod devices;
mod edges;
mod errors;
pub mod frames;
mod packets;
mod pieces;
mod policy;
mod rng;
mod sequel;
mod services;
mod terms;

pub use packets::Packets;
pub use policy::Draft;
pub use rng::Rng;
