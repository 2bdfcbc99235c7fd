//! A network namespace that is like the router of the tests.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use xtask::command;
use xtask::lab::Namespace;

use crate::world::{Route, World};

/// Does something in a namespace that has the interfaces, addresses and routes
/// of `world`.
pub fn within<T: Send + 'static>(world: &World, job: impl FnOnce() -> T + Send + 'static) -> T {
    let namespace = Namespace::new("verdicts").expect("a network namespace; this needs root");
    let commands = commands(world);
    namespace.run(move || {
        let settings = [
            ("ipv4/ip_forward", "1"),
            ("ipv6/conf/all/forwarding", "1"),
            ("ipv6/conf/default/forwarding", "1"),
            // No link-local addresses but those that the world has.
            ("ipv6/conf/default/addr_gen_mode", "1"),
        ];
        for (name, value) in settings {
            let written = fs::write(format!("/proc/sys/net/{name}"), value);
            written.expect("a setting can be written");
        }
        ip(&commands);
        job()
    })
}

/// What `ip` has to do.
fn commands(world: &World) -> String {
    let mut commands = Vec::new();
    for interface in &world.interfaces {
        let (name, index) = (interface.name, interface.index);
        if name != "lo" {
            commands.push(format!(
                "link add {name} index {index} type veth peer {name}-peer"
            ));
            commands.push(format!("link set {name}-peer up"));
        }
        commands.push(format!("link set {name} up"));
        for address in &interface.addresses {
            let rest = match address.addr().is_ipv4() {
                true => "broadcast +",
                false => "nodad",
            };
            commands.push(format!("address add {address} {rest} dev {name}"));
        }
    }
    for (prefix, route) in &world.routes {
        commands.push(match route {
            Route::Out(index) => {
                let name = world.name(*index).expect("a route leads to an interface");
                format!("route add {prefix} dev {name}")
            }
            Route::Nowhere => format!("route add unreachable {prefix}"),
            Route::Local => panic!("{prefix}: what is local has an address"),
        });
    }
    commands.join("\n") + "\n"
}

fn ip(commands: &str) {
    let ip = Command::new("ip")
        .args(["-batch", "-"])
        .env("PATH", command::path())
        .stdin(Stdio::piped())
        .spawn();
    let mut ip = ip.expect("`ip` of iproute2 can be run");
    let mut input = ip.stdin.take().expect("the input is a pipe");
    let written = input.write_all(commands.as_bytes());
    drop(input);
    let done = ip.wait().expect("`ip` ends");
    assert!(done.success() && written.is_ok(), "ip: {done}\n{commands}");
}
