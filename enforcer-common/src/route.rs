//! What the decision asks of the routing table.

use crate::lookup::{self, Tables};
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
    /// Where the router sends what it gets by an interface.
    fn route(&self, question: &Question, ingress: u32) -> Route;
}

/// Asks the routing table, which knows the ports of bridges by their bridge.
#[inline(always)]
pub fn route(tables: &impl Tables, routes: &impl Routes, question: &Question) -> Route {
    routes.route(question, lookup::routed_by(tables, question.place.ifindex))
}
