//! Hosts of their own on one wire: network namespaces, for what loopback cannot show.
//!
//! On loopback every party is the same host: a forged address is only a bound one, nothing has to be found by ARP, and no datagram is
//! lost. Here talkbridge, its browsers and, unless a test wants otherwise, SIP Server are one host; who attacks is another.
//! It takes root, or the capabilities behind `ip netns`.

use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::panic::resume_unwind;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::{Result, Site};

/// Wires of this process, so that each has names of its own.
static WIRES: AtomicU32 = AtomicU32::new(0);

/// A wire with the hosts on it. Gone on drop.
#[derive(Debug)]
pub struct Lan {
    wire: String,
    hosts: AtomicU32,
}

/// A host on a wire.
#[derive(Debug, Clone)]
pub struct Host {
    name: String,
}

/// Runs a test on a host of its own, which has the addresses of `site`, with another one beside it for whoever is not of the site.
///
/// # Panics
/// When the test does, or when namespaces cannot be made.
pub fn on_hosts<F, R>(site: Site, addresses: &[IpAddr], test: F) -> R::Output
where
    F: FnOnce(Site, Lan) -> R + Send + 'static,
    R: Future<Output: Send + 'static>,
{
    let lan = Lan::new();
    let host = lan.host(addresses);
    // Processes and sockets belong to the namespace of the thread that makes them.
    let joined = std::thread::spawn(move || {
        host.enter();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .on_thread_start(move || host.enter())
            .build()
            .expect("threads are left");
        runtime.block_on(test(site, lan))
    });
    joined.join().unwrap_or_else(|panic| resume_unwind(panic))
}

impl Lan {
    fn new() -> Self {
        let nth = WIRES.fetch_add(1, Ordering::Relaxed);
        let wire = format!("tb{}-{nth}", std::process::id());
        ip(&format!("netns add {wire}"));
        let lan = Self {
            wire,
            hosts: AtomicU32::new(0),
        };
        ip(&format!("-n {} link add wire type bridge", lan.wire));
        ip(&format!("-n {} link set wire up", lan.wire));
        lan
    }

    /// The host on which the test itself runs.
    pub fn ours(&self) -> Host {
        let name = format!("{}-0", self.wire);
        Host { name }
    }

    /// A further host with these addresses.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn host(&self, addresses: &[IpAddr]) -> Host {
        let nth = self.hosts.fetch_add(1, Ordering::Relaxed);
        let (wire, name) = (&self.wire, format!("{}-{nth}", self.wire));
        ip(&format!("netns add {name}"));
        ip(&format!(
            "link add eth0 netns {name} type veth peer name port{nth} netns {wire}"
        ));
        ip(&format!("-n {wire} link set port{nth} master wire up"));
        let host = Host { name };
        let name = &host.name;
        host.at(|| {
            // An address that is tried out for a second comes up in the middle of a test: a browser takes it for a change of networks, and drops what it loads.
            let key = "/proc/sys/net/ipv6/conf/eth0/accept_dad";
            std::fs::write(key, "0").expect("root may");
        });
        ip(&format!("-n {name} link set lo up"));
        ip(&format!("-n {name} link set eth0 up"));
        host.at(|| {
            // A datagram that forges an address of this host comes in, as it would at a host that is not its own SIP Server.
            for scope in ["all", "eth0"] {
                let key = format!("/proc/sys/net/ipv4/conf/{scope}/accept_local");
                std::fs::write(key, "1").expect("root may");
            }
        });
        for address in addresses {
            host.takes(*address);
        }
        host
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        let hosts =
            (0..self.hosts.load(Ordering::Relaxed)).map(|nth| format!("{}-{nth}", self.wire));
        for name in hosts.chain([self.wire.clone()]) {
            // What is not there needs not go.
            drop(run("ip", &format!("netns del {name}")));
        }
    }
}

impl Host {
    fn enter(&self) {
        let link = File::open(format!("/run/netns/{}", self.name)).expect("it was made above");
        move_into_link_name_space(link.as_fd(), Some(LinkNameSpaceType::Network))
            .expect("root may");
    }

    /// Makes something here: a socket that is bound at this host stays at it, whoever uses it.
    ///
    /// # Panics
    /// When `make` does.
    pub fn at<T: Send>(&self, make: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let made = scope.spawn(|| {
                self.enter();
                make()
            });
            made.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    /// Takes an address over. Nobody is told: others find out by ARP.
    ///
    /// # Panics
    /// When it has it already.
    pub fn takes(&self, address: IpAddr) {
        // Nobody else has it: an address of IPv6 needs not be tried out for a second first.
        let (prefix, flags) = if address.is_ipv6() {
            (64, "nodad")
        } else {
            (24, "")
        };
        ip(&format!(
            "-n {} address add {address}/{prefix} dev eth0 {flags}",
            self.name
        ));
    }

    /// Takes an address over for a service of its own, which stays whatever becomes of its networks. A browser here speaks to it, and not from it.
    ///
    /// # Panics
    /// When it has it already.
    pub fn serves_at(&self, address: IpAddr) {
        ip(&format!("-n {} address add {address} dev lo", self.name));
    }

    /// Whoever connects here to a service of this host does so from `own`, as somebody who is elsewhere would, and not from the service's own address.
    ///
    /// # Panics
    /// When the host has no such service.
    pub fn connects_to(&self, service: IpAddr, own: IpAddr) {
        ip(&format!(
            "-n {} route replace local {service} dev lo table local src {own}",
            self.name
        ));
    }

    /// Gives an address up.
    ///
    /// # Panics
    /// When it does not have it.
    pub fn gives_up(&self, address: IpAddr) {
        ip(&format!(
            "-n {} address del {address}/24 dev eth0",
            self.name
        ));
    }

    /// A program that runs here.
    pub fn program(&self, program: &Path) -> tokio::process::Command {
        let mut command = tokio::process::Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Asks by ARP where an address is after seconds instead of after half a minute.
    ///
    /// # Panics
    /// When the kernel has no such times.
    pub fn asks_by_arp_soon(&self) {
        self.at(|| {
            for (time, value) in [
                ("base_reachable_time_ms", "1000"),
                ("delay_first_probe_time", "1"),
            ] {
                let key = format!("/proc/sys/net/ipv4/neigh/eth0/{time}");
                std::fs::write(key, value).expect("root may");
            }
        });
    }

    /// From now on so many of a hundred UDP datagrams to this port are lost on their way in, by chance.
    ///
    /// # Panics
    /// When there is no iptables.
    pub fn loses(&self, percent: u32, port: u16) {
        ip(&format!(
            "netns exec {} iptables -A INPUT -i eth0 -p udp --dport {port} -m statistic --mode random --probability 0.{percent:02} -j DROP",
            self.name
        ));
    }

    /// From now on so many of a hundred UDP datagrams to this port are lost on their way in, by chance, wherever they come from, this host itself among it.
    /// What was said of the port before does not hold any more.
    ///
    /// # Panics
    /// When there is no iptables.
    pub fn loses_of_all(&self, percent: u32, port: u16) {
        ip(&format!("netns exec {} iptables -F INPUT", self.name));
        if percent > 0 {
            ip(&format!(
                "netns exec {} iptables -A INPUT -p udp --dport {port} -m statistic --mode random --probability 0.{percent:02} -j DROP",
                self.name
            ));
        }
    }

    /// From now on UDP to this port of the host is lost, unless it comes from `but`.
    ///
    /// # Panics
    /// When there is no iptables.
    pub fn blocks_udp(&self, to: SocketAddr, but: Option<IpAddr>) {
        let (ip_to, port) = (to.ip(), to.port());
        let but = but.map_or_else(String::new, |ip| format!("! -s {ip}"));
        ip(&format!(
            "netns exec {} iptables -A INPUT -p udp -d {ip_to} --dport {port} {but} -j DROP",
            self.name
        ));
    }

    /// Nothing that comes to this host is lost any more.
    ///
    /// # Panics
    /// When there is no iptables.
    pub fn opens(&self) {
        ip(&format!("netns exec {} iptables -F INPUT", self.name));
    }

    /// From now on what this host sends by UDP to `public` reaches its own address `own`, and comes back from `public`: what a
    /// one-to-one NAT does.
    ///
    /// # Panics
    /// When there is no iptables.
    pub fn translates(&self, public: IpAddr, own: IpAddr) {
        self.leads_out();
        ip(&format!(
            "netns exec {} iptables -t nat -A OUTPUT -p udp -d {public} -j DNAT --to-destination {own}",
            self.name
        ));
    }

    /// From now on what this host sends by UDP to its service `to` comes from `router` there, as it does from a home behind a NAT. What has come from
    /// another router before goes nowhere any more, and comes from this one.
    ///
    /// # Panics
    /// When there is no iptables, or no conntrack.
    pub fn is_behind(&self, router: IpAddr, to: SocketAddr) {
        let (service, port, name) = (to.ip(), to.port(), &self.name);
        let rule = |rule: String| ip(&format!("netns exec {name} iptables {rule}"));
        self.serves_at(router);
        self.opens();
        rule("-t nat -F POSTROUTING".to_owned());
        rule(format!(
            "-t nat -A POSTROUTING -p udp -d {service} --dport {port} -j SNAT --to-source {router}"
        ));
        self.blocks_udp(to, Some(router));
        // Ways that are in use would stay.
        ip(&format!("netns exec {name} conntrack -F"));
    }

    /// The rest of the world is behind the wire.
    ///
    /// # Panics
    /// When there is a way out already.
    pub fn leads_out(&self) {
        ip(&format!("-n {} route add default dev eth0", self.name));
    }

    /// The same by IPv6.
    ///
    /// # Panics
    /// When there is a way out already, or no IPv6.
    pub fn leads_out_by_ipv6(&self) {
        ip(&format!("-n {} -6 route add default dev eth0", self.name));
    }

    /// How many UDP datagrams have reached this host for nobody, or have been read by somebody. The kernel counts one that waits in a socket when it is read:
    /// sockets that nobody reads are to be [asked](crate::attack::Flood::came_back) first.
    ///
    /// # Panics
    /// When the kernel does not count them.
    pub fn datagrams(&self) -> u64 {
        let table = self.at(|| std::fs::read_to_string("/proc/thread-self/net/snmp"));
        let table = table.expect("the kernel counts");
        let mut rows = table.lines().filter(|line| line.starts_with("Udp:"));
        let mut row = || rows.next().unwrap_or_default().split_whitespace();
        row()
            .zip(row())
            .filter(|(name, _)| ["InDatagrams", "NoPorts"].contains(name))
            .filter_map(|(_, count)| count.parse::<u64>().ok())
            .sum()
    }
}

fn ip(arguments: &str) {
    if let Err(error) = run("ip", arguments) {
        panic!(
            "ip {arguments}: {error}\nTests between hosts make network namespaces, which takes root; \
             leave them out with: -E 'not test(/^hosts::/)'"
        );
    }
}

fn run(program: &str, arguments: &str) -> Result<()> {
    let output = Command::new(program)
        .args(arguments.split_whitespace())
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
}
