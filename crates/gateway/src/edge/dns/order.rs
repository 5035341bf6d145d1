//! The order in which the targets of SRV records are tried (RFC 2782).

/// One SRV record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Srv {
    /// Lower ones first.
    pub priority: u16,
    /// The share among those of one priority.
    pub weight: u16,
    /// The port of the service.
    pub port: u16,
    /// The host, in lower case and without a final dot; empty says that there is no such service.
    pub target: String,
}

/// Sorts by priority, and within one by chance in proportion to the weights.
///
/// The chance of a record is drawn from `seed` and its target, not from the moment: asked again, the same records have the same order,
/// and when one comes or goes the others stay as they were. So a gateway moves no registration without need, while many gateways, each
/// with a seed of its own, share the servers by their weights. Of records that draw `-ln(u) / weight` each, with `u` uniform, the least is
/// the one of a record in proportion to its weight, and so for those that are left: the distribution that RFC 2782 asks for.
#[must_use]
pub fn order(mut records: Vec<Srv>, seed: u64) -> Vec<Srv> {
    records.retain(|record| !record.target.is_empty());
    records.sort_by(|a, b| {
        let weighted = drawn(a, seed).total_cmp(&drawn(b, seed));
        let priority = a.priority.cmp(&b.priority);
        let named = (&a.target, a.port).cmp(&(&b.target, b.port));
        priority.then(weighted).then(named)
    });
    records
}

/// Weight 0 is for "a very small chance of being selected" beside others: a thousandth of the smallest weight there is.
const NO_WEIGHT: f64 = 0.001;

fn drawn(record: &Srv, seed: u64) -> f64 {
    let weight = match record.weight {
        0 => NO_WEIGHT,
        weight => f64::from(weight),
    };
    -uniform(&record.target, record.port, seed).ln() / weight
}

/// A number between 0 and 1, neither of them included.
fn uniform(target: &str, port: u16, seed: u64) -> f64 {
    let octets = target.bytes().chain(port.to_be_bytes());
    let mixed = octets.fold(mix(seed), |state, octet| mix(state ^ u64::from(octet)));
    // 32 bits are more than chance needs, and exact in an f64.
    (f64::from((mixed >> 32) as u32) + 0.5) / (f64::from(u32::MAX) + 1.0)
}

/// The finalizer of SplitMix64: every bit of the input changes half of the output's.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn srv(priority: u16, weight: u16, target: &str) -> Srv {
        Srv {
            priority,
            weight,
            port: 5060,
            target: target.to_owned(),
        }
    }

    fn targets(records: Vec<Srv>, seed: u64) -> Vec<String> {
        let ordered = order(records, seed).into_iter();
        ordered.map(|record| record.target).collect()
    }

    #[test]
    fn a_lower_priority_comes_first_whatever_its_weight() {
        for seed in 0..100 {
            let records = vec![srv(20, 60_000, "backup"), srv(10, 0, "primary")];
            assert_eq!(targets(records, seed), ["primary", "backup"]);
        }
    }

    /// Gateways share the servers of one priority by weight: 60, 30 and 10 of a hundred, and the one without weight hardly ever.
    #[test]
    fn many_gateways_share_servers_by_weight() {
        let records = || {
            vec![
                srv(1, 0, "d"),
                srv(1, 10, "c"),
                srv(1, 60, "a"),
                srv(1, 30, "b"),
            ]
        };
        let first = |name: &str| {
            (0..10_000)
                .filter(|seed| targets(records(), *seed)[0] == name)
                .count()
        };
        for (name, share) in [("a", 6_000), ("b", 3_000), ("c", 1_000)] {
            let came = first(name);
            assert!(came.abs_diff(share) < 200, "{name}: {came}");
        }
        assert!(first("d") < 20);
        // Where the heaviest is away the others keep their shares: 30 to 10.
        let second = (0..10_000).filter(|seed| {
            let left = targets(records(), *seed)
                .into_iter()
                .filter(|name| name != "a");
            left.take(1).all(|name| name == "b")
        });
        assert!(second.count().abs_diff(7_500) < 200);
    }

    /// A server that is added takes its place, and nobody else's registrations move.
    #[test]
    fn what_stays_keeps_its_order() {
        for seed in 0..200 {
            let before = targets(vec![srv(1, 5, "a"), srv(1, 5, "b"), srv(1, 5, "c")], seed);
            let after = targets(
                vec![
                    srv(1, 5, "c"),
                    srv(1, 5, "new"),
                    srv(1, 5, "b"),
                    srv(1, 5, "a"),
                ],
                seed,
            );
            let kept: Vec<String> = after.into_iter().filter(|name| name != "new").collect();
            assert_eq!(kept, before);
        }
    }

    /// RFC 2782: the target "." says that the service is decidedly not there.
    #[test]
    fn the_root_is_no_target() {
        assert!(targets(vec![srv(0, 0, "")], 1).is_empty());
    }
}
