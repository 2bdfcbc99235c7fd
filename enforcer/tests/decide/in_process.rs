//! The parser and the decision that the kernel programs are made of, over an
//! image in this process. Without a flow table, so every packet is new.

use enforcer::compile::Image;
use enforcer::policy::Policy;
use enforcer_common::address::Addr;
use enforcer_common::cell::Slot;
use enforcer_common::decide::{self, Dropped, Routes};
use enforcer_common::essential::Essential;
use enforcer_common::flow;
use enforcer_common::packet::Bytes;
use enforcer_common::parse::{self, Facts, Payload};
use enforcer_common::question::{Origin, Place, Question};
use enforcer_common::verdict::DropReason;
use enforcer_common::wire::protocol;

use crate::compare::{Counter, Counters, Datapath};
use crate::compiled::images;
use crate::world::{Route, World};

/// Compiled policies that follow each other, and what they have counted.
pub struct InProcess<'w> {
    image: Image,
    /// The policies that are still to come.
    images: std::vec::IntoIter<Image>,
    world: &'w World,
    counters: Counters,
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

    fn judge(&self, frame: &[u8], ifindex: u32) -> Result<Slot, Dropped> {
        let packet = Bytes::new(frame);
        let link = parse::link_layer(&packet)?;
        let mut facts = unread(Place {
            ifindex,
            tags: link.tags,
            origin: Origin::WIRE,
        });
        match parse::payload(&packet, &link, &mut facts)? {
            Payload::Arp => return Ok(Essential::ARP.slot()),
            Payload::Link => return Ok(Essential::LINK.slot()),
            Payload::Ip => {}
        }
        let question = &facts.question;
        let ends = decide::ends(&self.image, question);
        if let Some(slot) = decide::admit(&self.image, &facts, &ends)? {
            return Ok(slot);
        }
        let target = decide::target(&self.image, question, &ends);
        let judgement = decide::judge(&self.image, self, question, &ends, target)?;
        if question.protocol() == protocol::TCP && !flow::opens_tcp(&facts) {
            return Err(judgement.dropped(DropReason::TCP_NO_FLOW));
        }
        Ok(judgement.cell.slot())
    }

    fn conduit(&self, slot: Slot) -> Counter {
        Counter::Conduit(self.image.slots[&slot.0].clone())
    }
}

impl Datapath for InProcess<'_> {
    fn run(&mut self, frame: &[u8], ifindex: u32) -> bool {
        let verdict = self.judge(frame, ifindex);
        let moved = match verdict {
            Ok(slot) => vec![self.conduit(slot)],
            Err(dropped) => {
                let drop = Counter::Drop {
                    from: self.image.zones[&dropped.from.0].clone(),
                    to: dropped.to().map(|zone| self.image.zones[&zone.0].clone()),
                    reason: dropped.reason.name().to_owned(),
                };
                let conduit = dropped.slot().map(|slot| self.conduit(slot));
                conduit.into_iter().chain([drop]).collect()
            }
        };
        for counter in moved {
            *self.counters.entry(counter).or_default() += 1;
        }
        verdict.is_ok()
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
    fn route(&self, question: &Question) -> decide::Route {
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

/// The facts that the parser is to find out.
fn unread(place: Place) -> Facts {
    Facts {
        question: Question {
            place,
            source: Addr::UNSPECIFIED,
            destination: Addr::UNSPECIFIED,
            protocol: 0,
            service: 0,
        },
        hop_limit: 0,
        tcp_flags: 0,
        flags: 0,
        source_port: 0,
        destination_port: 0,
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
