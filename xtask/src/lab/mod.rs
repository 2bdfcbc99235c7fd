//! A router and the networks it joins, on this machine, for tests and the demo.
//!
//! Each host is a network namespace that lives as long as a thread of this process,
//! so nothing is left behind, however the process ends. Traffic is real: sockets of
//! the kernel, opened inside the namespaces. Needs root.

mod cable;
mod echo;
mod enforcer;
mod flood;
mod frame;
mod host;
mod link;
mod namespace;
mod network;
mod port;
mod probe;
mod spoof;
mod taker;
mod tap;
mod topology;
mod trunk;

pub use enforcer::{Enforcer, succeeded};
pub use flood::Flood;
pub use host::Host;
pub use namespace::Namespace;
pub use network::{Family, Network};
pub use port::{Port, ether_type, frame};
pub use probe::{Connection, Outcome, Service};
pub use taker::Taker;
pub use tap::Tap;
pub use topology::{Expectation, ROUTER, Seen, Topology};
pub use trunk::{TRUNK, Tagged};
