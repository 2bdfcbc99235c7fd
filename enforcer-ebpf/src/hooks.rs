//! What the two hooks give: packet bytes, and the routing table.

use core::ffi::c_void;
use core::hint::black_box;

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::bpf_fib_lookup as FibLookup;
use aya_ebpf::helpers::bpf_fib_lookup;
use aya_ebpf::programs::{TcContext, XdpContext};
use enforcer_common::address::Addr;
use enforcer_common::decide::{Route, Routes};
use enforcer_common::packet::Packet;
use enforcer_common::question::Question;

use crate::maps::Scratch;
use crate::report::Amount;

/// Most bytes of headers that the parser reads: Ethernet and two tags, IPv6,
/// extension headers, one header more.
const HEADER_BYTES: u32 = 14 + 8 + 40 + 256 + 20;

/// A packet of a hook.
pub trait Hooked: Packet {
    /// What the hook is given.
    type Context: EbpfContext;
    /// What the hook was given.
    fn context(&self) -> &Self::Context;
    /// Number of the hook: that of its scratch.
    fn hook(&self) -> u32;
    /// The packet, for looks at places in it that are known.
    fn again(&self) -> impl Packet;

    /// The routing tables of the namespace that the hook runs in.
    #[inline(always)]
    fn routes(&self, scratch: &mut Scratch) -> Fib {
        Fib {
            context: self.context().as_ptr(),
            asked: &raw mut scratch.route,
        }
    }
}

impl Hooked for Ingress<'_> {
    type Context = XdpContext;

    #[inline(always)]
    fn context(&self) -> &XdpContext {
        self.ctx
    }

    #[inline(always)]
    fn hook(&self) -> u32 {
        self.hook
    }

    #[inline(always)]
    fn again(&self) -> impl Packet {
        Ingress { ..*self }
    }
}

impl Hooked for Buffer<'_> {
    type Context = TcContext;

    #[inline(always)]
    fn context(&self) -> &TcContext {
        self.ctx
    }

    #[inline(always)]
    fn hook(&self) -> u32 {
        self.hook
    }

    #[inline(always)]
    fn again(&self) -> impl Packet {
        Reread(Buffer { ..*self })
    }
}

/// A packet at XDP ingress.
pub struct Ingress<'a> {
    ctx: &'a XdpContext,
    hook: u32,
    zero: u32,
}

// SAFETY: the kernel keeps the bytes in place while the program runs.
unsafe impl Packet for Ingress<'_> {
    #[inline(always)]
    fn data(&self) -> usize {
        self.ctx.data()
    }

    #[inline(always)]
    fn data_end(&self) -> usize {
        self.ctx.data_end()
    }

    #[inline(always)]
    fn total_bytes(&self) -> usize {
        self.ctx.data_end() - self.ctx.data()
    }

    #[inline(always)]
    fn stripped_tag(&self) -> Option<u16> {
        None
    }

    #[inline(always)]
    fn pull(&self, _bytes: u32) {}

    #[inline(always)]
    fn opaque(&self, value: u32) -> u32 {
        value.wrapping_add(self.zero)
    }
}

impl<'a> Ingress<'a> {
    /// The packet of a hook, and the zero of its scratch.
    #[inline(always)]
    pub fn new(ctx: &'a XdpContext, hook: u32, zero: u32) -> Self {
        Self { ctx, hook, zero }
    }

    /// Interface that the packet came in on.
    #[inline(always)]
    pub fn ifindex(&self) -> u32 {
        self.ctx.ingress_ifindex() as u32
    }

    /// What it adds to counters.
    #[inline(always)]
    pub fn amount(&self) -> Amount {
        Amount {
            packets: 1,
            bytes: self.total_bytes() as u64,
        }
    }
}

/// A packet at TC ingress or egress.
pub struct Buffer<'a> {
    ctx: &'a TcContext,
    hook: u32,
    zero: u32,
    /// It starts with its network header.
    is_bare: bool,
}

// SAFETY: the kernel keeps the linear bytes in place while the program runs and
// calls no helper that moves them but by `pull`, after which all is looked at again.
unsafe impl Packet for Buffer<'_> {
    #[inline(always)]
    fn data(&self) -> usize {
        self.ctx.data()
    }

    #[inline(always)]
    fn data_end(&self) -> usize {
        self.ctx.data_end()
    }

    #[inline(always)]
    fn total_bytes(&self) -> usize {
        self.ctx.len() as usize
    }

    #[inline(always)]
    fn stripped_tag(&self) -> Option<u16> {
        let skb = self.ctx.skb.skb;
        // SAFETY: the context is valid while the program runs.
        let (present, control) = unsafe { ((*skb).vlan_present, (*skb).vlan_tci) };
        (present != 0).then_some(control as u16 & 0x0fff)
    }

    #[inline(always)]
    fn bare_ether_type(&self) -> Option<u16> {
        // SAFETY: the context is valid while the program runs.
        let protocol = unsafe { (*self.ctx.skb.skb).protocol };
        self.is_bare.then_some(u16::from_be(protocol as u16))
    }

    #[inline(always)]
    fn pull(&self, bytes: u32) {
        let len = self.ctx.len();
        let wanted = if len < bytes { len } else { bytes };
        if self.ctx.data() + wanted as usize > self.ctx.data_end() {
            // Failing leaves the packet as it is; the parser calls it truncated.
            let _ = self.ctx.pull_data(wanted);
        }
    }

    #[inline(always)]
    fn opaque(&self, value: u32) -> u32 {
        value.wrapping_add(self.zero)
    }
}

impl<'a> Buffer<'a> {
    /// The packet of a hook, and the zero of its scratch.
    #[inline(always)]
    pub fn new(ctx: &'a TcContext, hook: u32, zero: u32) -> Self {
        Self {
            ctx,
            hook,
            zero,
            is_bare: false,
        }
    }

    /// The same packet, of a device without Ethernet if `is_bare`.
    #[inline(always)]
    pub fn bare(self, is_bare: bool) -> Self {
        Self { is_bare, ..self }
    }

    /// Interface that the hook belongs to.
    #[inline(always)]
    pub fn ifindex(&self) -> u32 {
        // SAFETY: the context is valid while the program runs.
        unsafe { (*self.ctx.skb.skb).ifindex }
    }

    /// Interface that it came in on; 0 when the router itself sends it.
    #[inline(always)]
    pub fn ingress_ifindex(&self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.ctx.skb.skb).ingress_ifindex }
    }

    /// Whether it was sent to a station that this machine is not.
    #[inline(always)]
    pub fn is_for_others(&self) -> bool {
        // `PACKET_OTHERHOST` of `linux/if_packet.h`.
        const OTHER_HOST: u32 = 3;
        // SAFETY: as above.
        unsafe { (*self.ctx.skb.skb).pkt_type == OTHER_HOST }
    }

    /// Leaves a note of 16 bits for the programs that see the packet next.
    ///
    /// The kernel replaces the one by the other where a TC filter of the older
    /// kind has run.
    #[inline(always)]
    pub fn note(&self, note: u32) {
        // SAFETY: as above; both fields may be written at TC.
        unsafe {
            (*self.ctx.skb.skb).tc_index = note;
            (*self.ctx.skb.skb).tc_classid = note;
        }
    }

    /// The note that was left; 0 for none.
    #[inline(always)]
    pub fn noted(&self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.ctx.skb.skb).tc_index }
    }

    /// Makes the headers readable in place.
    #[inline(always)]
    pub fn pull_headers(&self) {
        self.pull(HEADER_BYTES);
    }

    /// What it adds to counters: a packet that the device will cut up counts
    /// as what comes out.
    #[inline(always)]
    pub fn amount(&self) -> Amount {
        // SAFETY: as above.
        let (segments, bytes) =
            unsafe { ((*self.ctx.skb.skb).gso_segs, (*self.ctx.skb.skb).wire_len) };
        Amount {
            packets: u64::from(if segments == 0 { 1 } else { segments }),
            bytes: u64::from(bytes),
        }
    }
}

/// A packet at TC whose bounds are read anew at each look. The compiler would read
/// them once, and make numbers of them that are no pointers to the verifier.
struct Reread<'a>(Buffer<'a>);

// SAFETY: as for the packet itself.
unsafe impl Packet for Reread<'_> {
    #[inline(always)]
    fn data(&self) -> usize {
        // SAFETY: the context is valid while the program runs.
        unsafe { (*black_box(self.0.ctx.skb.skb)).data as usize }
    }

    #[inline(always)]
    fn data_end(&self) -> usize {
        // SAFETY: as above.
        unsafe { (*black_box(self.0.ctx.skb.skb)).data_end as usize }
    }

    #[inline(always)]
    fn total_bytes(&self) -> usize {
        self.0.total_bytes()
    }

    #[inline(always)]
    fn stripped_tag(&self) -> Option<u16> {
        self.0.stripped_tag()
    }

    #[inline(always)]
    fn pull(&self, bytes: u32) {
        self.0.pull(bytes);
    }

    #[inline(always)]
    fn opaque(&self, value: u32) -> u32 {
        self.0.opaque(value)
    }
}

/// The router's routing tables, asked through the context of a hook.
pub struct Fib {
    context: *mut c_void,
    asked: *mut FibLookup,
}

impl Routes for Fib {
    #[inline(always)]
    fn route(&self, question: &Question, ingress: u32) -> Route {
        match egress(self, question, ingress) {
            LOCAL => Route::Local,
            NOWHERE => Route::Nowhere,
            ifindex => Route::Via(ifindex as u32),
        }
    }
}

const LOCAL: i64 = -1;
const NOWHERE: i64 = -2;

/// The egress interface, or [`LOCAL`] or [`NOWHERE`]. A function of its own in
/// the kernel: rarely called, it keeps its stack and its ways to itself.
#[inline(never)]
fn egress(fib: &Fib, question: &Question, ingress: u32) -> i64 {
    const AF_INET: u8 = 2;
    const AF_INET6: u8 = 10;
    const SUCCESS: i64 = 0;
    const NOT_FORWARDED: i64 = 4;
    const FORWARDING_DISABLED: i64 = 5;
    const NO_NEIGHBOUR: i64 = 7;

    // SAFETY: points into the scratch of this hook on this CPU, and the helper
    // takes any bytes; those that are not written here were left by an earlier
    // look-up and mean nothing with flags 0.
    let asked = unsafe { &mut *fib.asked };
    asked.l4_protocol = question.protocol();
    asked.sport = 0;
    asked.dport = 0;
    asked.__bindgen_anon_1.tot_len = 0;
    asked.__bindgen_anon_2.flowinfo = 0;
    asked.ifindex = ingress;
    if let (Some(source), Some(destination)) =
        (question.source.as_v4(), question.destination.as_v4())
    {
        asked.family = AF_INET;
        asked.__bindgen_anon_3.ipv4_src = source.to_be();
        asked.__bindgen_anon_4.ipv4_dst = destination.to_be();
    } else {
        asked.family = AF_INET6;
        asked.__bindgen_anon_3.ipv6_src = network_order(&question.source);
        asked.__bindgen_anon_4.ipv6_dst = network_order(&question.destination);
    }
    let size = size_of::<FibLookup>() as i32;
    // SAFETY: the context is that of the running program, and the struct is as
    // large as said.
    match unsafe { bpf_fib_lookup(fib.context, asked, size, 0) } {
        SUCCESS | NO_NEIGHBOUR => asked.ifindex.into(),
        // Without forwarding the router takes only what is its own.
        NOT_FORWARDED | FORWARDING_DISABLED => LOCAL,
        _ => NOWHERE,
    }
}

#[inline(always)]
fn network_order(address: &Addr) -> [u32; 4] {
    let [a, b, c, d] = address.0;
    [a.to_be(), b.to_be(), c.to_be(), d.to_be()]
}
