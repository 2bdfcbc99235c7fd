//! Work that the verifier checks apart from what asks for it.
//!
//! The verifier follows a function of the program anew for each way that leads to
//! a call of it. A global function it checks once, for whatever it may be given
//! (Linux 5.6), and after a call it knows nothing of what came back. So these get
//! only the context and the number of their hook; what they need lies in the
//! scratch of the hook, and so does what they find.

use aya_ebpf::bindings::{__sk_buff, xdp_md};
use aya_ebpf::programs::{TcContext, XdpContext};
use enforcer_common::cell::Slot;
use enforcer_common::decide::Dropped;
use enforcer_common::event::Kind;

use crate::hooks::{Buffer, Hooked, Ingress};
use crate::maps::{Active, Scratch};
use crate::{again, bridge, events, flows, fragments, loose, reject, terms, unusual};

/// What such a function found.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Found(u32);

impl Found {
    /// Nothing that decides about the packet.
    pub const NOTHING: Self = Self(0);
    /// The slot in the scratch lets the packet pass.
    pub const PASS: Self = Self(1);
    /// The packet must not pass; the scratch says why.
    pub const DROP: Self = Self(2);
    /// A flow that an older policy judged; its question lies in the scratch.
    pub const STALE: Self = Self(3);
    /// A judgement that asks for more than zones and service; it lies in the
    /// scratch.
    pub const TERMS: Self = Self(4);

    /// A TCP segment in mid-stream of no known flow, between zones of which one is
    /// loose.
    pub const AMID: Self = Self(5);

    /// [`Found::PASS`] if something holds, else [`Found::DROP`].
    #[inline(always)]
    const fn pass_if(holds: bool) -> Self {
        if holds { Self::PASS } else { Self::DROP }
    }

    /// The same as a result, from the scratch of the hook.
    #[inline(always)]
    pub fn result(self, scratch: &Scratch) -> Result<Option<Slot>, Dropped> {
        match self {
            Self::NOTHING => Ok(None),
            Self::PASS => Ok(Some(scratch.slot)),
            _ => Err(scratch.drop),
        }
    }

    /// Writes a result to the scratch of the hook.
    #[inline(always)]
    pub fn of(result: Result<Option<Slot>, Dropped>, scratch: &mut Scratch) -> Self {
        match result {
            Ok(None) => Self::NOTHING,
            Ok(Some(slot)) => {
                scratch.slot = slot;
                Self::PASS
            }
            Err(drop) => {
                scratch.drop = drop;
                Self::DROP
            }
        }
    }
}

/// Functions for packets of each hook, by the context that the hook is given.
macro_rules! apart {
    ($($(#[$doc:meta])* $name:ident: $xdp:ident, $tc:ident, $work:path;)*) => {
        /// A packet whose hook can ask for work that is checked apart.
        pub trait Apart {
            $($(#[$doc])* fn $name(&self) -> Found;)*
        }

        impl Apart for Ingress<'_> {
            $(#[inline(always)]
            fn $name(&self) -> Found {
                Found($xdp(self.context().ctx, self.hook()))
            })*
        }

        impl Apart for Buffer<'_> {
            $(#[inline(always)]
            fn $name(&self) -> Found {
                Found($tc(self.context().skb.skb, self.hook()))
            })*
        }

        $(#[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $xdp(ctx: *mut xdp_md, hook: u32) -> u32 {
            let ctx = XdpContext::new(ctx);
            resume(hook, |active, scratch| {
                $work(active, &Ingress::new(&ctx, hook, scratch.zero), scratch)
            })
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $tc(ctx: *mut __sk_buff, hook: u32) -> u32 {
            let ctx = TcContext::new(ctx);
            resume(hook, |active, scratch| {
                $work(active, &Buffer::new(&ctx, hook, scratch.zero), scratch)
            })
        })*
    };
}

apart! {
    /// Looks at what is no whole datagram, and at errors about others.
    unusual: xdp_unusual, tc_unusual, unusual::look;
    /// Asks the policy: [`Found::PASS`], [`Found::TERMS`], [`Found::DROP`] or
    /// [`Found::AMID`].
    judge: xdp_judge, tc_judge, flows::judge;
    /// Asks the policy whether a segment of which that was [`Found::AMID`] is an
    /// answer: [`Found::PASS`], [`Found::TERMS`] or [`Found::DROP`].
    answer: xdp_loose, tc_loose, loose::answer;
    /// Asks the policy about the stale flow; [`Found::PASS`] when it may go on.
    judge_again: xdp_judge_again, tc_judge_again, again::judge;
}

/// Remembers the datagram whose first fragment passes.
#[inline(always)]
pub fn remember(hook: u32) {
    remember_fragment(hook);
}

/// Whether a packet of an initiator passes that needs more than its conduit;
/// `opens` when it is judged itself and not as a part of a flow.
#[inline(always)]
pub fn meets_terms(hook: u32, opens: bool) -> Found {
    Found(meet_terms(hook, opens.into()))
}

/// Looks for the flow that the packet belongs to: [`Found::PASS`],
/// [`Found::TERMS`], [`Found::STALE`] or [`Found::NOTHING`].
#[inline(always)]
pub fn follow(hook: u32) -> Found {
    Found(follow_flow(hook))
}

/// Judges a frame without IP: [`Found::PASS`], [`Found::TERMS`] or
/// [`Found::DROP`].
#[inline(always)]
pub fn judge_frame(hook: u32) -> Found {
    Found(frame_without_ip(hook))
}

/// Records the flow that the packet opens: [`Found::PASS`] or [`Found::DROP`].
#[inline(always)]
pub fn opens(hook: u32) -> Found {
    Found(open_flow(hook))
}

/// Writes an event to the ring, of the drop in the scratch.
#[inline(always)]
pub fn tell(hook: u32, kind: Kind) {
    send_event(hook, kind.0.into());
}

/// Turns a rejected packet into its answer; false when there must be none.
#[inline(always)]
pub fn answers(ctx: &XdpContext, hook: u32) -> bool {
    Found(xdp_answer(ctx.ctx, hook)) == Found::PASS
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn remember_fragment(hook: u32) -> u32 {
    resume(hook, |active, scratch| {
        fragments::remember(active, scratch);
        Found::NOTHING
    })
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn follow_flow(hook: u32) -> u32 {
    resume(hook, flows::follow)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn frame_without_ip(hook: u32) -> u32 {
    resume(hook, bridge::judge)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn open_flow(hook: u32) -> u32 {
    resume(hook, |active, scratch| {
        Found::pass_if(flows::open(active, scratch, false))
    })
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn meet_terms(hook: u32, opens: u32) -> u32 {
    resume(hook, |active, scratch| {
        Found::pass_if(terms::meet(active, hook, opens != 0, scratch))
    })
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn send_event(hook: u32, kind: u32) -> u32 {
    resume(hook, |active, scratch| {
        events::send(active, Kind(kind as u8), scratch);
        Found::NOTHING
    })
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn xdp_answer(ctx: *mut xdp_md, hook: u32) -> u32 {
    let ctx = XdpContext::new(ctx);
    resume(hook, |active, scratch| {
        Found::pass_if(reject::answer(&ctx, active, scratch))
    })
}

/// Does some work with the policy that the run of a hook goes by, and its memory.
#[inline(always)]
fn resume(hook: u32, work: impl FnOnce(&Active, &mut Scratch) -> Found) -> u32 {
    let Some(scratch) = Scratch::of(hook) else {
        return Found::DROP.0;
    };
    match Active::resumed(scratch) {
        Some(active) => work(&active, scratch).0,
        None => Found::DROP.0,
    }
}
