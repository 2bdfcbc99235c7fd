//! What the decision asks of the routing table.

use crate::question::Question;

/// Where the routing table sends a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// To the router itself, or nowhere that it would forward to.
    Local,
    /// Out of the interface with this index.
    Via(u32),
    /// Nowhere: the router answers that itself.
    Nowhere,
}

/// The routing table.
pub trait Routes {
    /// Where the router sends what it gets.
    fn route(&self, question: &Question) -> Route;
}
