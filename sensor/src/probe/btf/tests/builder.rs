//! Writes BTF for the tests, right and wrong. No statements about the reader.

use super::super::{Btf, MAGIC, VERSION, kind};

/// Writes BTF in this machine's byte order, type by type; ids count from 1.
#[derive(Default)]
pub(super) struct Builder {
    types: Vec<u8>,
    pub(super) strings: Vec<u8>,
    pub(super) layout: Vec<u8>,
    pub(super) last: u32,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            strings: vec![0],
            ..Self::default()
        }
    }

    pub(super) fn name(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let at = self.strings.len() as u32;
        self.strings.extend(name.as_bytes());
        self.strings.push(0);
        at
    }

    pub(super) fn words(&mut self, words: &[u32]) {
        self.types
            .extend(words.iter().flat_map(|w| w.to_ne_bytes()));
    }

    pub(super) fn add(
        &mut self,
        kind: u8,
        flag: bool,
        name: &str,
        vlen: u32,
        size_or_type: u32,
    ) -> u32 {
        let name = self.name(name);
        self.words(&[
            name,
            u32::from(flag) << 31 | u32::from(kind) << 24 | vlen,
            size_or_type,
        ]);
        self.last += 1;
        self.last
    }

    pub(super) fn int(&mut self, name: &str, bytes: u32, bits: u32) -> u32 {
        let id = self.add(kind::INT, false, name, 0, bytes);
        self.words(&[bits]);
        id
    }

    /// A struct or union; members are (name, type, offset field as stored).
    pub(super) fn record(
        &mut self,
        kind: u8,
        flag: bool,
        name: &str,
        size: u32,
        members: &[(&str, u32, u32)],
    ) -> u32 {
        let id = self.add(kind, flag, name, members.len() as u32, size);
        for (name, type_id, offset) in members {
            let name = self.name(name);
            self.words(&[name, *type_id, *offset]);
        }
        id
    }

    pub(super) fn strukt(&mut self, name: &str, size: u32, members: &[(&str, u32, u32)]) -> u32 {
        self.record(kind::STRUCT, false, name, size, members)
    }

    pub(super) fn refer(&mut self, kind: u8, name: &str, to: u32) -> u32 {
        self.add(kind, false, name, 0, to)
    }

    pub(super) fn proto(&mut self, params: &[(&str, u32)]) -> u32 {
        let id = self.add(kind::FUNC_PROTO, false, "", params.len() as u32, 0);
        for (name, type_id) in params {
            let name = self.name(name);
            self.words(&[name, *type_id]);
        }
        id
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = MAGIC.to_ne_bytes().to_vec();
        out.extend([VERSION, 0]);
        let header = if self.layout.is_empty() { 24 } else { 32 };
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
        let mut head = vec![header, 0, types, types, strings];
        if header == 32 {
            head.extend([types + strings, self.layout.len() as u32]);
        }
        out.extend(head.iter().flat_map(|w| w.to_ne_bytes()));
        out.extend(&self.types);
        out.extend(&self.strings);
        out.extend(&self.layout);
        out
    }

    pub(super) fn build(&self) -> Btf {
        Btf::parse(self.bytes()).unwrap()
    }
}
