//! Zones told apart by hardware addresses.

use xtask::lab::{Outcome, ROUTER, Service};

use Service::{Tcp, Udp};

use crate::network::{self, DROPPED, Net, PASSES, with_conduits};

/// Guests whose card is known are staff.
fn policy(mac: &str) -> String {
    let head = network::policy(&[]);
    with_conduits(
        &format!("{head}  staff: {{ match: [{{ interface: gst0, mac: \"{mac}\" }}] }}\n"),
        &[
            "id: staff-in, from: staff, to: [plant, self], services: udp/53",
            "id: guests-out, from: guests, to: plant, services: tcp/443",
            "id: to-guests, from: office, to: guests, services: udp/53",
        ],
    )
}

#[test]
fn a_station_is_what_its_hardware_address_says() {
    let net = Net::open();
    let mac = net.lab.mac("guests").unwrap();

    net.apply(&policy(&mac));
    net.expect(&[
        ("guests", "plant", Udp(53), PASSES),
        ("guests", ROUTER, Udp(53), PASSES),
        ("guests", "plant", Tcp(443), DROPPED),
        ("plant", "guests", Udp(53), DROPPED),
        // Asked as a guest, it answers as staff.
        ("office", "guests", Udp(53), PASSES),
    ]);
    assert!(net.drops("staff", "plant", "no-conduit") >= 2);

    net.apply(&policy("02:ff:ff:ff:ff:ff"));
    net.expect(&[
        ("guests", "plant", Udp(53), DROPPED),
        ("guests", ROUTER, Udp(53), DROPPED),
        ("guests", "plant", Tcp(443), PASSES),
    ]);
}

#[test]
fn a_known_card_excuses_no_forged_address() {
    let net = Net::open();
    let mac = net.lab.mac("guests").unwrap();
    net.apply(&policy(&mac));
    for family in xtask::lab::Family::BOTH {
        let claimed = net.lab.address("plant", "office", family);
        let seen = net.lab.spoof("guests", claimed, "plant", 53).unwrap();
        assert_eq!(seen, Outcome::Silent, "{family:?}");
    }
    assert!(net.drops("guests", "-", "spoofed-source") >= 2);
}
