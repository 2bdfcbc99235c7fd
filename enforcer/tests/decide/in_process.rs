//! The parser and the decision that the kernel programs are made of, over an
//! image in this process. Without memory, so every packet is new.

use enforcer::compile::Image;
use enforcer::policy::Policy;
use enforcer_common::address::Addr;
use enforcer_common::bridge;
use enforcer_common::cell::Slot;
use enforcer_common::decide::{self, Dropped, Ends, Routes};
use enforcer_common::essential::Essential;
use enforcer_common::flow;
use enforcer_common::lookup;
use enforcer_common::neighbour;
use enforcer_common::packet::Bytes;
use enforcer_common::parse::{self, Facts, Payload};
use enforcer_common::question::{Mac, Origin, Place, Question, Tags};
use enforcer_common::translated::is_translated;
use enforcer_common::verdict::DropReason;
use enforcer_common::zone::ZoneId;

use crate::compare::{Counter, Counters, Datapath};
use crate::compiled::images;
use crate::crossing::{Crossing, Way};
use crate::world::{Route, World};

/// Compiled policies that follow each other, and what they have counted.
pub struct InProcess<'w> {
    image: Image,
    /// The policies that are still to come.
    images: std::vec::IntoIter<Image>,
    world: &'w World,
    counters: Counters,
}

/// What lets a packet pass.
struct Passed {
    slot: Slot,
    /// From where to where, if only because this is an audit.
    audited: Option<(ZoneId, ZoneId)>,
}

impl From<Slot> for Passed {
    fn from(slot: Slot) -> Self {
        Self {
            slot,
            audited: None,
        }
    }
}

impl<'w> InProcess<'w> {
    /// The first of the policies is active.
    pub fn new(policies: &[&Policy], world: &'w World) -> Self {
        let mut images = images(policies, world).into_iter();
        Self {
            image: images.next().expect("a case has a policy"),
            images,
            world,
            counters: Counters::new(),
        }
    }

    fn judge(&self, frame: &[u8], way: Way) -> Result<Passed, Dropped> {
        let packet = Bytes::new(frame);
        let link = parse::link_layer(&packet)?;
        let mut facts = Facts::unread(Place {
            ifindex: way.ifindex(),
            tags: link.tags,
            origin: match way {
                Way::In(_) | Way::Between(..) => Origin::WIRE,
                Way::Out(_, None) => Origin::ROUTER,
                Way::Out(_, Some(_)) => Origin::UNGUARDED,
            },
            mac: link.source,
            exit: match way {
                Way::Between(_, exit) => exit,
                _ => 0,
            },
        });
        let payload = parse::payload(&packet, &link, &mut facts)?;
        if payload == Payload::Link {
            return self.admit_frame(&facts, Essential::LINK);
        }
        if payload == Payload::Other {
            return Err(DropReason::UNKNOWN_ETHERTYPE.into());
        }
        if facts.flags & Facts::NEIGHBOUR != 0 {
            let source = decide::source_end(&self.image, &facts.question);
            neighbour::check(&self.image, &packet, &facts, &source)?;
        }
        if payload == Payload::Arp {
            let passed = self.admit_frame(&facts, Essential::ARP)?;
            if facts.question.place.is_bridged() {
                let ends = decide::ends(&self.image, &facts.question);
                bridge::neighbours(&self.image, &facts.question, &ends)?;
            }
            return Ok(passed);
        }
        let question = &facts.question;
        let ends = decide::ends(&self.image, question);
        if facts.flags & Facts::LATER != 0 {
            let source = ends.source.zone;
            let reason = match source.is_refused() {
                true => source.refusal(),
                false => DropReason::FRAGMENT_ORPHAN,
            };
            return Err(Dropped::early(source.zone(), reason));
        }
        if let Some(slot) = decide::admit(&self.image, &facts, &ends)? {
            return Ok(slot.into());
        }
        let target = decide::target(&self.image, question, &ends);
        let judged = decide::judge(&self.image, self, question, &ends, target);
        let is_copy = question.place.is_bridged() && ends.is_to_group();
        let mut may_open = !flow::is_mid_stream(&facts) || is_copy;
        if !may_open {
            let (from, to) = match &judged {
                Ok(judgement) => (judgement.from, Some(judgement.to)),
                Err(dropped) => (dropped.from, dropped.to()),
            };
            if decide::is_loose(&self.image, from, to) {
                let is_meant = judged.is_ok_and(|judgement| !judgement.cell.is_audit());
                may_open = is_meant && !flow::answers_opening(&facts);
                if !may_open && let Some(slot) = self.answer(&facts, &ends, to) {
                    return Ok(slot.into());
                }
            }
        }
        let judgement = judged?;
        let is_audited = judgement.cell.is_audit();
        if !may_open && !is_audited {
            return Err(judgement.dropped(DropReason::TCP_NO_FLOW));
        }
        Ok(Passed {
            slot: judgement.cell.slot(),
            audited: is_audited.then_some((judgement.from, judgement.to)),
        })
    }

    /// What lets a segment pass as an answer, whose receiver is in the zone `to`.
    fn answer(&self, facts: &Facts, ends: &Ends, to: Option<ZoneId>) -> Option<Slot> {
        if facts.question.place.is_bridged() {
            return None;
        }
        let mut place = Place {
            origin: Origin::WIRE,
            mac: Mac::NONE,
            ..facts.question.place
        };
        if facts.question.place.origin == Origin::WIRE {
            let decide::Route::Via(ifindex) = decide::route(&self.image, self, &facts.question)
            else {
                return None;
            };
            (place.ifindex, place.tags) = (ifindex, Tags::default());
        }
        let question = facts.question.reversed(place, facts.source_port);
        let theirs = decide::ends(&self.image, &question);
        let judgement = decide::decide(&self.image, self, &question, &theirs).ok()?;
        let source = &ends.source;
        let is_of_any_mac = facts.question.place.origin == Origin::WIRE
            && judgement.to == decide::zone_of_any_mac(&self.image, source);
        let is_meant = !judgement.cell.is_audit()
            && Some(judgement.from) == to
            && (judgement.to == source.zone.zone() || is_of_any_mac);
        is_meant.then_some(judgement.cell.slot())
    }

    fn admit_frame(&self, facts: &Facts, essential: Essential) -> Result<Passed, Dropped> {
        decide::admit_frame(&self.image, &facts.question.place, essential).map(Passed::from)
    }

    fn dropped(&self, from: ZoneId, to: Option<ZoneId>, reason: DropReason) -> Counter {
        Counter::Drop {
            from: self.image.zones[&from.0].clone(),
            to: to.map(|zone| self.image.zones[&zone.0].clone()),
            reason: reason.name().to_owned(),
        }
    }

    fn conduit(&self, slot: Slot) -> Counter {
        Counter::Conduit(self.image.slots[&slot.0].clone())
    }
}

impl Datapath for InProcess<'_> {
    fn run(&mut self, frame: &[u8], way: Way) -> bool {
        if let Way::Out(_, Some(ingress)) = way
            && lookup::link(&self.image, ingress, Tags::default()).is_enforced
        {
            return true;
        }
        let (moved, passes) = match self.judge(frame, way) {
            Ok(Passed { slot, audited }) => {
                let audit = |(from, to)| self.dropped(from, Some(to), DropReason::AUDIT);
                let audit = audited.map(audit);
                (
                    audit.into_iter().chain([self.conduit(slot)]).collect(),
                    true,
                )
            }
            Err(dropped) if decide::is_audited(&self.image, &dropped) => {
                let audit = self.dropped(dropped.from, dropped.to(), DropReason::AUDIT);
                (vec![audit], true)
            }
            Err(dropped) => {
                let drop = self.dropped(dropped.from, dropped.to(), dropped.reason);
                let conduit = dropped.slot().map(|slot| self.conduit(slot));
                let moved: Vec<_> = conduit.into_iter().chain([drop]).collect();
                (moved, false)
            }
        };
        for counter in moved {
            *self.counters.entry(counter).or_default() += 1;
        }
        passes
    }

    /// All but what has got another source since it came in: the flow that it goes
    /// on with began at another hook.
    fn takes(&self, packet: &Crossing) -> bool {
        !matches!(packet.way, Way::Out(_, Some(_)))
            || !is_translated(&self.image, &Bytes::new(packet.frame()))
    }

    fn counters(&mut self) -> Counters {
        self.counters.clone()
    }

    fn next_policy(&mut self) {
        self.image = self.images.next().expect("a policy for every stage");
    }

    fn is_stateful(&self) -> bool {
        false
    }
}

impl Routes for InProcess<'_> {
    fn route(&self, question: &Question, _: u32) -> decide::Route {
        match self
            .world
            .route(ip(&question.source), ip(&question.destination))
        {
            Route::Local => decide::Route::Local,
            Route::Out(ifindex) => decide::Route::Via(ifindex),
            Route::Nowhere => decide::Route::Nowhere,
        }
    }
}

fn ip(address: &Addr) -> std::net::IpAddr {
    match address.as_v4() {
        Some(address) => std::net::Ipv4Addr::from(address).into(),
        None => {
            let words = address.0.map(u32::to_be_bytes).concat();
            let octets: [u8; 16] = words.try_into().expect("four words are 16 bytes");
            octets.into()
        }
    }
}
