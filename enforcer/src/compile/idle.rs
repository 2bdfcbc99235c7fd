//! Limits of idle flows, as the tables have them.

use std::time::Duration;

use enforcer_common::idle::Idle;

use crate::policy::model;

/// The limits in seconds.
pub(super) fn seconds(idle: &model::Idle) -> Idle {
    // The language has no longer ones than fit.
    let seconds = |limit: Duration| limit.as_secs() as u32;
    let model::Idle {
        tcp,
        tcp_opening,
        tcp_closing,
        tcp_closed,
        udp,
        icmp,
        other,
        unanswered,
    } = *idle;
    let all = [
        tcp,
        tcp_opening,
        tcp_closing,
        tcp_closed,
        udp,
        icmp,
        other,
        unanswered,
    ];
    let shortest = all.into_iter().min().unwrap_or_default();
    Idle {
        shortest: seconds(shortest),
        tcp: seconds(tcp),
        tcp_opening: seconds(tcp_opening),
        tcp_closing: seconds(tcp_closing),
        tcp_closed: seconds(tcp_closed),
        udp: seconds(udp),
        icmp: seconds(icmp),
        other: seconds(other),
        unanswered: seconds(unanswered),
    }
}
