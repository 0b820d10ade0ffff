//! Names of the numbers in DNS messages, from IANA's "Domain Name System (DNS) Parameters".
//! Tables only.

use std::borrow::Cow;

/// Record and question types in use, or telling when seen.
const TYPES: &[(u16, &str)] = &[
    (1, "A"),
    (2, "NS"),
    (5, "CNAME"),
    (6, "SOA"),
    (10, "NULL"),
    (11, "WKS"),
    (12, "PTR"),
    (13, "HINFO"),
    (15, "MX"),
    (16, "TXT"),
    (17, "RP"),
    (18, "AFSDB"),
    (24, "SIG"),
    (25, "KEY"),
    (28, "AAAA"),
    (29, "LOC"),
    (33, "SRV"),
    (35, "NAPTR"),
    (36, "KX"),
    (37, "CERT"),
    (39, "DNAME"),
    (41, "OPT"),
    (42, "APL"),
    (43, "DS"),
    (44, "SSHFP"),
    (45, "IPSECKEY"),
    (46, "RRSIG"),
    (47, "NSEC"),
    (48, "DNSKEY"),
    (49, "DHCID"),
    (50, "NSEC3"),
    (51, "NSEC3PARAM"),
    (52, "TLSA"),
    (53, "SMIMEA"),
    (55, "HIP"),
    (59, "CDS"),
    (60, "CDNSKEY"),
    (61, "OPENPGPKEY"),
    (62, "CSYNC"),
    (63, "ZONEMD"),
    (64, "SVCB"),
    (65, "HTTPS"),
    (99, "SPF"),
    (108, "EUI48"),
    (109, "EUI64"),
    (249, "TKEY"),
    (250, "TSIG"),
    (251, "IXFR"),
    (252, "AXFR"),
    (255, "ANY"),
    (256, "URI"),
    (257, "CAA"),
];

const RCODES: &[(u16, &str)] = &[
    (0, "NOERROR"),
    (1, "FORMERR"),
    (2, "SERVFAIL"),
    (3, "NXDOMAIN"),
    (4, "NOTIMP"),
    (5, "REFUSED"),
    (6, "YXDOMAIN"),
    (7, "YXRRSET"),
    (8, "NXRRSET"),
    (9, "NOTAUTH"),
    (10, "NOTZONE"),
    (11, "DSOTYPENI"),
    (16, "BADVERS"),
    (17, "BADKEY"),
    (18, "BADTIME"),
    (19, "BADMODE"),
    (20, "BADNAME"),
    (21, "BADALG"),
    (22, "BADTRUNC"),
    (23, "BADCOOKIE"),
];

const CLASSES: &[(u16, &str)] = &[(1, "IN"), (3, "CH"), (4, "HS"), (254, "NONE"), (255, "ANY")];

const OPCODES: &[(u16, &str)] = &[
    (0, "QUERY"),
    (1, "IQUERY"),
    (2, "STATUS"),
    (4, "NOTIFY"),
    (5, "UPDATE"),
    (6, "DSO"),
];

/// `A`, `AAAA`, …; `TYPE65280` (RFC 3597) for types without a name here.
pub fn type_name(number: u16) -> Cow<'static, str> {
    look_up(TYPES, number, "TYPE")
}

/// `NOERROR`, `NXDOMAIN`, …; `RCODE12` for codes without a name.
pub fn rcode_name(number: u16) -> Cow<'static, str> {
    look_up(RCODES, number, "RCODE")
}

/// `IN`, `CH`, …; `CLASS32769` (RFC 3597) for classes without a name.
pub fn class_name(number: u16) -> Cow<'static, str> {
    look_up(CLASSES, number, "CLASS")
}

/// `QUERY`, `UPDATE`, …; `OPCODE3` for codes without a name.
pub fn opcode_name(number: u8) -> Cow<'static, str> {
    look_up(OPCODES, u16::from(number), "OPCODE")
}

/// The number of a record type, the inverse of [`type_name`].
pub fn type_number(name: &str) -> Option<u16> {
    number(TYPES, name, "TYPE")
}

/// The number of a response code, the inverse of [`rcode_name`].
pub fn rcode_number(name: &str) -> Option<u16> {
    number(RCODES, name, "RCODE")
}

/// The number of a class, the inverse of [`class_name`].
pub fn class_number(name: &str) -> Option<u16> {
    number(CLASSES, name, "CLASS")
}

/// The number of an operation, the inverse of [`opcode_name`].
pub fn opcode_number(name: &str) -> Option<u8> {
    number(OPCODES, name, "OPCODE").and_then(|number| number.try_into().ok())
}

fn number(table: &[(u16, &str)], name: &str, otherwise: &str) -> Option<u16> {
    match table.iter().find(|(_, known)| *known == name) {
        Some((number, _)) => Some(*number),
        None => name.strip_prefix(otherwise)?.parse().ok(),
    }
}

fn look_up(table: &[(u16, &'static str)], number: u16, otherwise: &str) -> Cow<'static, str> {
    match table
        .binary_search_by_key(&number, |(n, _)| *n)
        .ok()
        .and_then(|at| table.get(at))
    {
        Some((_, name)) => Cow::Borrowed(name),
        None => Cow::Owned(format!("{otherwise}{number}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_registered_names() {
        for (number, name) in [
            (1, "A"),
            (28, "AAAA"),
            (65, "HTTPS"),
            (255, "ANY"),
            (10, "NULL"),
            (257, "CAA"),
            (65280, "TYPE65280"),
        ] {
            assert_eq!(type_name(number), name);
        }
        assert_eq!(
            (rcode_name(3), rcode_name(23), rcode_name(12)),
            ("NXDOMAIN".into(), "BADCOOKIE".into(), Cow::from("RCODE12"))
        );
        assert_eq!(
            (class_name(1), opcode_name(0), opcode_name(3)),
            ("IN".into(), "QUERY".into(), Cow::from("OPCODE3"))
        );
    }

    #[test]
    fn tables_are_sorted_for_the_search() {
        for table in [TYPES, RCODES, CLASSES, OPCODES] {
            assert!(table.is_sorted_by(|a, b| a.0 < b.0));
        }
    }
}
