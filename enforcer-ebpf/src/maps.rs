//! Every map, and the tables of the active policy over them.
//!
//! Sizes here are those of the smallest class; the loader sets the real ones.

use aya_ebpf::Global;
use aya_ebpf::bindings::{BPF_F_MMAPABLE, bpf_fib_lookup as FibLookup};
use aya_ebpf::btf_maps::{Array, LruHashMap, PerCpuArray, RingBuf};
use aya_ebpf::helpers::bpf_jiffies64;
use aya_ebpf::macros::btf_map;
use enforcer_common::cell::Slot;
use enforcer_common::control::Control;
use enforcer_common::counter::{ConduitCell, DropCell};
use enforcer_common::decide::{Dropped, Ends};
use enforcer_common::event::{Budget, Event};
use enforcer_common::flow::{Flow, FlowKey};
use enforcer_common::fragment::{Datagram, DatagramKey};
use enforcer_common::layout::{DECLARED_HALF_WORDS, Layout};
use enforcer_common::limits;
use enforcer_common::lookup::{self, Tables};
use enforcer_common::parse::Facts;
use enforcer_common::terms::SourceKey;

use crate::flows::FlowScratch;
use crate::fragments::DatagramScratch;
use crate::report::Amount;

const MMAPABLE: usize = BPF_F_MMAPABLE as usize;

/// The tables of both policies, an element each.
#[btf_map(name = "tables")]
static TABLES: Array<[u16; DECLARED_HALF_WORDS], 2, MMAPABLE> = Array::new();

/// Half-words in an element of `tables`, less one; set by the loader, and known
/// to the verifier, which so knows that every access stays inside.
#[unsafe(no_mangle)]
static TABLE_MASK: Global<u32> = Global::new(DECLARED_HALF_WORDS as u32 - 1);

/// Which policy is active.
#[btf_map(name = "control")]
static CONTROL: Array<Control, 1, MMAPABLE> = Array::new();

/// What each conduit decided, by slot.
#[btf_map(name = "conduit_counters")]
pub static CONDUIT_COUNTERS: PerCpuArray<ConduitCell, 1> = PerCpuArray::new();

/// What was dropped, by zones and reason.
#[btf_map(name = "drop_counters")]
pub static DROP_COUNTERS: PerCpuArray<DropCell, 1> = PerCpuArray::new();

/// Flows that are established: answered, and confirmed by their initiator.
#[btf_map(name = "flows")]
pub static FLOWS: LruHashMap<FlowKey, Flow, { limits::FLOWS as usize }> = LruHashMap::new();

/// Flows that are not established yet.
#[btf_map(name = "flows_new")]
pub static FLOWS_NEW: LruHashMap<FlowKey, Flow, { limits::FLOWS_NEW as usize }> = LruHashMap::new();

/// Datagrams whose later fragments are awaited.
#[btf_map(name = "fragments")]
pub static FRAGMENTS: LruHashMap<DatagramKey, Datagram, { limits::FRAGMENTS as usize }> =
    LruHashMap::new();

/// The bucket of each conduit with a rate, by slot.
#[btf_map(name = "rates")]
pub static RATES: Array<u64, 1, MMAPABLE> = Array::new();

/// The buckets of conduits that give each source a rate of its own.
#[btf_map(name = "rate_sources")]
pub static RATE_SOURCES: LruHashMap<SourceKey, u64, { limits::RATE_SOURCES as usize }> =
    LruHashMap::new();

/// Samples of what happens to packets.
#[btf_map(name = "events")]
pub static EVENTS: RingBuf<Event, { limits::EVENT_BYTES as usize }> = RingBuf::new();

/// How many events and answers each CPU may still send.
#[btf_map(name = "budgets")]
pub static BUDGETS: PerCpuArray<Budget, { Budget::COUNT }> = PerCpuArray::new();

/// What a hook knows of the packet in hand.
///
/// It lies in a map because the verifier does not follow what is in map memory:
/// the many ways through the parser become one way behind it. It also spares
/// the 512 bytes of stack.
#[repr(C)]
pub struct Scratch {
    /// Always zero, which the verifier cannot know: what it is added to
    /// becomes just any value to the verifier, and nothing else happens.
    /// Added, because before Linux 6.10 the verifier keeps no bounds of `^`.
    pub zero: u32,
    /// Slot of the policy that counts for it, 0 or 1.
    slot_in_force: u32,
    /// What it adds to counters.
    pub amount: Amount,
    /// Its headers.
    pub facts: Facts,
    /// What the tables say of both ends.
    pub ends: Ends,
    /// What the routing table is asked.
    pub route: FibLookup,
    /// What lets it pass, once that is found.
    pub slot: Slot,
    /// Why it must not pass, once that is found.
    pub drop: Dropped,
    /// What it needs of the flow table.
    pub flow: FlowScratch,
    /// What the packet says that an ICMP error quotes.
    pub quoted: Facts,
    /// What a fragment needs of its datagram.
    pub datagram: DatagramScratch,
}

/// One [`Scratch`] for each hook: neither interrupts itself on one CPU.
#[btf_map(name = "scratch")]
static SCRATCH: PerCpuArray<Scratch, { limits::SCRATCHES as usize }> = PerCpuArray::new();

const _: () = assert!(size_of::<Scratch>() <= limits::SCRATCH_BYTES);

impl Scratch {
    /// The scratch of the XDP hook.
    pub const XDP: u32 = 0;
    /// The scratch of the TC egress hook.
    pub const EGRESS: u32 = 1;
    /// The scratch of the TC ingress hook.
    pub const INGRESS: u32 = 2;

    /// The scratch of a hook on this CPU.
    #[inline(always)]
    pub fn of(hook: u32) -> Option<&'static mut Self> {
        let scratch = SCRATCH.get_ptr_mut(hook)?;
        // SAFETY: the memory belongs to this CPU and this hook, which runs to
        // its end before it runs again; any bytes the map holds were written
        // by this program or are the zeroes it began with.
        Some(unsafe { &mut *scratch })
    }
}

/// What counts for a packet.
pub enum InForce {
    /// A policy.
    Policy(Active),
    /// None: the packet passes as if there were no program.
    Nothing,
}

/// The policy that was active when the hook began.
#[derive(Clone, Copy)]
pub struct Active {
    /// What holds for both policies.
    pub control: &'static Control,
    layout: &'static Layout,
    tables: *const u16,
    zero: u32,
}

impl Active {
    /// Reads which policy counts, once for the whole run of the hook, whose
    /// scratch this is and which judges what crosses the interface.
    #[inline(always)]
    pub fn read(scratch: &mut Scratch, ifindex: u32) -> Option<InForce> {
        let control = CONTROL.get_ptr(0)?;
        // SAFETY: the only element of an array map lives as long as the
        // program, and its bytes are valid whatever user space writes.
        let control: &'static Control = unsafe { &*control };
        // The deadline first: where it is gone, the slot to go with it is there.
        // SAFETY: the reference is valid; user space may store a new value at
        // any time, so the read must happen exactly once.
        let confirm_until = unsafe { core::ptr::read_volatile(&raw const control.confirm_until) };
        // SAFETY: as above.
        let mut active = unsafe { core::ptr::read_volatile(&raw const control.active) };
        if confirm_until != 0 {
            active = unconfirmed(control, confirm_until, ifindex, scratch.zero);
            if active == Control::OPEN {
                return Some(InForce::Nothing);
            }
        }
        scratch.slot_in_force = active & 1;
        Self::of(control, active & 1, scratch.zero).map(InForce::Policy)
    }

    /// The same policy as the hook has read, from its scratch.
    #[inline(always)]
    pub fn resumed(scratch: &Scratch) -> Option<Self> {
        // SAFETY: as in `read`.
        let control: &'static Control = unsafe { &*CONTROL.get_ptr(0)? };
        Self::of(control, scratch.slot_in_force & 1, scratch.zero)
    }

    /// The policy in a slot, 0 or 1.
    #[inline(always)]
    fn of(control: &'static Control, slot: u32, zero: u32) -> Option<Self> {
        // By arithmetic: with a branch the verifier would follow all that
        // comes after twice, once for each slot.
        let slots = (&raw const control.slots).cast::<Layout>();
        // SAFETY: there are two slots.
        let layout = unsafe { &*slots.add(slot as usize) };
        let tables = TABLES.get_ptr(slot)?.cast();
        Some(Self {
            control,
            layout,
            tables,
            zero,
        })
    }

    /// Returns `value` in such a way that the verifier forgets what it knows of it.
    #[inline(always)]
    pub fn forgotten(&self, value: u32) -> u32 {
        value.wrapping_add(self.zero)
    }

    /// Where a place of the tables lies, rounded down to a multiple of `of`.
    #[inline(always)]
    fn place<T>(&self, at: u32, of: u32) -> *const T {
        // SAFETY: the element has one half-word more than the mask allows.
        unsafe {
            self.tables
                .add((at & TABLE_MASK.load() & !(of - 1)) as usize)
                .cast()
        }
    }
}

/// The slot that counts on an interface while the active policy waits to be
/// confirmed: that policy's until its time is up, then the one before. What that
/// one does not enforce is open again.
///
/// A function of its own in the kernel: it runs rarely, and the verifier takes
/// what it returns for any number.
#[inline(never)]
fn unconfirmed(control: &'static Control, until: u64, ifindex: u32, zero: u32) -> u32 {
    // SAFETY: takes no argument and reads a kernel counter.
    let now = unsafe { bpf_jiffies64() };
    if now < until {
        // SAFETY: the reference is valid, and the value is read once.
        return unsafe { core::ptr::read_volatile(&raw const control.active) };
    }
    // SAFETY: as above.
    let previous = unsafe { core::ptr::read_volatile(&raw const control.previous) };
    if previous >= Control::OPEN {
        return Control::OPEN;
    }
    let is_enforced = match Active::of(control, previous & 1, zero) {
        Some(active) => lookup::has_program(&active, ifindex),
        None => true,
    };
    if is_enforced { previous } else { Control::OPEN }
}

impl Tables for Active {
    #[inline(always)]
    fn layout(&self) -> &Layout {
        self.layout
    }

    #[inline(always)]
    fn half_word(&self, at: u32) -> u16 {
        // SAFETY: inside the element, which stays mapped; user space writes no
        // tables that are in use.
        unsafe { *self.place(at, 1) }
    }

    #[inline(always)]
    fn word(&self, at: u32) -> u32 {
        // SAFETY: as above, and aligned.
        unsafe { *self.place(at, 2) }
    }

    #[inline(always)]
    fn quad(&self, at: u32) -> u64 {
        // SAFETY: as above.
        unsafe { *self.place(at, 4) }
    }

    #[inline(always)]
    fn opaque(&self, value: u16) -> u16 {
        value.wrapping_add(self.zero as u16)
    }
}
