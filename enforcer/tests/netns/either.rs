//! Two policies that traffic tells apart, and a network that is open.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use xtask::lab::{Family, succeeded};

use crate::network::{Net, large, policy};

/// Both policies allow this one.
const ALWAYS: u16 = 1000;
/// Policy A allows the first of these, policy B the second, nobody the third.
const ONLY_A: u16 = 1001;
const ONLY_B: u16 = 1002;
const NEVER: u16 = 1003;

const CONDUITS_A: [&str; 2] = [
    "id: always, from: office, to: plant, services: udp/1000",
    "id: only, from: office, to: plant, services: udp/1001",
];
const CONDUITS_B: [&str; 2] = [
    "id: always, from: office, to: plant, services: udp/1000",
    "id: only, from: office, to: plant, services: udp/1002",
];

/// What traffic meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Force {
    /// No policy.
    Open,
    A,
    B,
}

/// Files with the two policies; the ports answer as long as it lives.
pub struct Files {
    pub a: String,
    pub b: String,
    /// Policy B among so much else that it needs larger maps.
    pub large_b: String,
    /// Policy A with flow maps of another size.
    pub sized_a: String,
    #[expect(dead_code, reason = "held, not used")]
    serving: Arc<()>,
}

/// A network in which the ports of both policies answer.
pub fn serving() -> (Net, Files) {
    let net = Net::open();
    let file = |name, policy: String| {
        let file = net.enforcer.policy_file(name, &policy);
        file.unwrap().display().to_string()
    };
    let files = Files {
        a: file("a", policy(&CONDUITS_A)),
        b: file("b", policy(&CONDUITS_B)),
        sized_a: file(
            "sized-a",
            policy(&CONDUITS_A) + "limits: { flows: 2048, flows_new: 2048 }\n",
        ),
        large_b: file("large-b", large(&CONDUITS_B)),
        serving: serve(&net),
    };
    (net, files)
}

/// Answers for as long as the value lives: to [`ALWAYS`] after all that came before
/// it, so that who has that answer has them all.
fn serve(net: &Net) -> Arc<()> {
    let plant = net.lab.host("plant").namespace();
    let sockets = [NEVER, ONLY_A, ONLY_B, ALWAYS].map(|port| {
        let bind = move || UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port));
        plant.run(bind).unwrap()
    });
    let [others @ .., always] = sockets;
    others
        .iter()
        .for_each(|it| it.set_nonblocking(true).unwrap());
    let breath = Duration::from_millis(100);
    always.set_read_timeout(Some(breath)).unwrap();
    let serving = Arc::new(());
    let is_serving = Arc::downgrade(&serving);
    thread::spawn(move || {
        let mut buffer = [0; 8];
        while is_serving.strong_count() > 0 {
            let Ok((_, last)) = always.recv_from(&mut buffer) else {
                continue;
            };
            for other in &others {
                while let Ok((length, peer)) = other.recv_from(&mut buffer) {
                    // No answer comes back, which the client is there to find out.
                    let _ = other.send_to(&buffer[..length], peer);
                }
            }
            let _ = always.send_to(b"!", last);
        }
    });
    serving
}

/// Applies a file, which must succeed.
pub fn apply(net: &Net, file: &str) {
    let output = net.enforcer.output(&["apply", file]).unwrap();
    succeeded(&output).unwrap();
}

/// What packets tell to be in force: one whole policy, or nothing at all; an error
/// for anything between.
pub fn in_force(net: &Net, family: Family) -> Result<Force, String> {
    // A packet can be overtaken on a busy machine; what is wrong stays wrong.
    let first = ask(net, family);
    first.or_else(|_| ask(net, family))
}

fn ask(net: &Net, family: Family) -> Result<Force, String> {
    let from = net.lab.address("office", "office", family);
    let to = net.lab.address("office", "plant", family);
    let office = net.lab.host("office").namespace();
    let socket = office.run(move || UdpSocket::bind((from, 0))).unwrap();
    let patience = Duration::from_secs(5);
    socket.set_read_timeout(Some(patience)).unwrap();
    let mut answers = BTreeSet::new();
    // The second time for those that were overtaken.
    for ports in [&[NEVER, ONLY_A, ONLY_B, ALWAYS][..], &[ALWAYS]] {
        for port in ports {
            let sent = socket.send_to(b"?", SocketAddr::new(to, *port));
            sent.map_err(|error| error.to_string())?;
        }
        loop {
            let port = answer(&socket, to);
            let port = port.map_err(|error| format!("{error}, after {answers:?}"))?;
            answers.insert(port);
            if port == ALWAYS {
                break;
            }
        }
    }
    match answers.into_iter().collect::<Vec<_>>()[..] {
        [ALWAYS, ONLY_A] => Ok(Force::A),
        [ALWAYS, ONLY_B] => Ok(Force::B),
        [ALWAYS, ONLY_A, ONLY_B, NEVER] => Ok(Force::Open),
        ref other => Err(format!("not one whole policy, but {other:?} pass")),
    }
}

fn answer(socket: &UdpSocket, from: IpAddr) -> io::Result<u16> {
    let (_, peer) = socket.recv_from(&mut [0; 8])?;
    assert_eq!(peer.ip(), from);
    Ok(peer.port())
}
