//! What this process may do, so that a missing privilege is named before the kernel refuses
//! something in its own words.

use std::fs;

/// A capability the sensor needs, and one that stands for it on older kernels.
struct Need {
    bit: u8,
    name: &'static str,
    /// `CAP_SYS_ADMIN` includes it.
    or_admin: bool,
}

/// `include/uapi/linux/capability.h`.
const CAP_SYS_ADMIN: u8 = 21;
const NEEDS: [Need; 5] = [
    Need {
        bit: 39,
        name: "CAP_BPF",
        or_admin: true,
    },
    Need {
        bit: 38,
        name: "CAP_PERFMON",
        or_admin: true,
    },
    Need {
        bit: 12,
        name: "CAP_NET_ADMIN",
        or_admin: false,
    },
    Need {
        bit: 19,
        name: "CAP_SYS_PTRACE",
        or_admin: false,
    },
    Need {
        bit: 2,
        name: "CAP_DAC_READ_SEARCH",
        or_admin: false,
    },
];

/// Names of the capabilities that are missing. Empty also when `/proc` cannot say.
#[must_use]
pub fn missing() -> Vec<&'static str> {
    fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| effective(&status))
        .map_or_else(Vec::new, missing_in)
}

fn missing_in(effective: u64) -> Vec<&'static str> {
    let has = |bit: u8| effective >> bit & 1 == 1;
    NEEDS
        .iter()
        .filter(|need| !(has(need.bit) || need.or_admin && has(CAP_SYS_ADMIN)))
        .map(|need| need.name)
        .collect()
}

/// The effective set in `/proc/self/status` (proc(5): `CapEff`, hexadecimal).
fn effective(status: &str) -> Option<u64> {
    let value = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(value.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_stands_for_the_newer_capabilities() {
        assert!(missing_in(u64::MAX).is_empty());
        assert_eq!(missing_in(!(1 << 39)), Vec::<&str>::new());
        assert_eq!(missing_in(!(1 << 39 | 1 << 21)), ["CAP_BPF"]);
        assert_eq!(missing_in(!(1 << 12)), ["CAP_NET_ADMIN"]);
    }

    #[test]
    fn the_effective_set_is_read() {
        assert_eq!(
            effective("Name:\tx\nCapEff:\t000001ffffffffff\n"),
            Some(0x1ff_ffff_ffff)
        );
        assert_eq!(effective(""), None);
    }
}
