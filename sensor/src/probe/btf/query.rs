//! The questions a type description answers, and the walks that answer them. No parsing of
//! sections (that is the parent) and no list of what the sensor asks (the offsets table).

use thiserror::Error;

use super::{Btf, END, Type, hash, kind, word};

/// Deepest chain of modifiers, or nesting of anonymous members, that is followed.
const MAX_DEPTH: u32 = 32;
/// Members and chain links looked at for one query; the largest honest query needs a few hundred.
const MAX_STEPS: u32 = 1 << 20;
/// Size of a pointer in the kernels we run on; BTF does not say.
const POINTER_BYTES: u32 = 8;
const MEMBER: usize = 12;
const PARAM: usize = 8;

/// Why one query has no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{query}: {reason}")]
pub struct ResolveError {
    /// The query as asked.
    pub query: String,
    /// What was in the way.
    pub reason: Reason,
}

impl ResolveError {
    /// Whether this kernel simply does not have the thing: no mistake in the query, no damage.
    pub fn is_absent(&self) -> bool {
        matches!(self.reason, Reason::NoType | Reason::NoMember)
    }
}

/// The obstacle a query met. With several types of one name the greatest one is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Error)]
#[non_exhaustive]
pub enum Reason {
    /// No type, function or tracepoint of that name.
    #[error("no such type in this kernel")]
    NoType,
    /// The type exists; the member, value or parameter does not.
    #[error("no such member in this kernel")]
    NoMember,
    /// The chain is too long, loops, or a number overflows.
    #[error("the kernel's type description is damaged here")]
    Malformed,
    /// An enum value that needs more than 32 bits.
    #[error("the value does not fit in 32 bits")]
    TooWide,
    /// The member is a bitfield: it has no byte offset.
    #[error("the member is a bitfield")]
    Bitfield,
    /// The query itself is wrong; see [`Btf::resolve`] for the grammar.
    #[error("not a query")]
    BadQuery,
}

type Answer = Result<u32, Reason>;

/// A member found, `bits` from the start of the outermost record.
struct Member {
    type_id: u32,
    bits: u32,
    bitfield: bool,
}

/// What is left of a query's allowance.
struct Steps(u32);

impl Steps {
    fn take(&mut self) -> Result<(), Reason> {
        self.0 = self.0.checked_sub(1).ok_or(Reason::Malformed)?;
        Ok(())
    }
}

impl Btf {
    /// Answers one query:
    ///
    /// | query | answer |
    /// |---|---|
    /// | `task_struct.files`, `inode.__i_ctime.tv_sec` | offset of the member in bytes from the start of the first type; by-value members nest, pointers and arrays are not entered |
    /// | `bit task_struct.in_execve` | the same in bits, of a bitfield too |
    /// | `sizeof inode`, `sizeof task_struct.comm` | size in bytes |
    /// | `enum pid_type.PIDTYPE_SID`, `enum .TCP_LISTEN` | value (two's complement when negative); without a name, of any unnamed enum |
    /// | `func vfs_rename` | 1 |
    /// | `args vfs_rename` | number of parameters |
    /// | `arg vfs_unlink dentry` | index from 0 of the first parameter that points to `dentry` |
    /// | `tp sched_process_exit` | 1 |
    /// | `tpargs sched_process_exit` | number of arguments of the tracepoint |
    /// | `tparg sched_process_exec linux_binprm` | as `arg`, for a tracepoint |
    ///
    /// The first name may be a struct, union or typedef. Of several types with the same name
    /// the first on which the whole query succeeds is taken.
    ///
    /// # Errors
    /// Says which part of the query has no answer; [`ResolveError::is_absent`] tells "this
    /// kernel does not have it" from mistakes.
    pub fn resolve(&self, query: &str) -> Result<u32, ResolveError> {
        self.answer(query).map_err(|reason| ResolveError {
            query: query.to_owned(),
            reason,
        })
    }

    fn answer(&self, query: &str) -> Answer {
        let mut words = query.split_ascii_whitespace();
        let (a, b, c) = (words.next(), words.next(), words.next());
        for (keyword, word) in [(None, a), (a, b), (a, c)] {
            // `enum .VALUE` asks for any unnamed enum.
            let word = word.map(|w| {
                w.strip_prefix('.')
                    .filter(|_| keyword == Some("enum"))
                    .unwrap_or(w)
            });
            word.into_iter()
                .flat_map(|w| w.split('.'))
                .try_for_each(check_name)?;
        }
        match (a, b, c, words.next()) {
            (Some(path), None, None, None) => self.offset_of(path),
            (Some("bit"), Some(path), None, None) => self.bit_of(path),
            (Some("sizeof"), Some(path), None, None) => self.size_of(path),
            (Some("enum"), Some(path), None, None) => self.enum_value(path),
            (Some("func"), Some(name), None, None) => {
                self.prototype(name, kind::FUNC, |_, _| Ok(1))
            }
            (Some("args"), Some(name), None, None) => {
                self.prototype(name, kind::FUNC, |p, steps| {
                    count(self.params(p, steps)?.len())
                })
            }
            (Some("arg"), Some(name), Some(target), None) => {
                self.prototype(name, kind::FUNC, |p, steps| {
                    self.param_to(p, 0, target, steps)
                })
            }
            (Some("tp"), Some(name), None, None) => self.tracepoint(name, |_, _| Ok(1)),
            (Some("tpargs"), Some(name), None, None) => self.tracepoint(name, |p, steps| {
                count(
                    self.params(p, steps)?
                        .len()
                        .checked_sub(1)
                        .ok_or(Reason::NoMember)?,
                )
            }),
            (Some("tparg"), Some(name), Some(target), None) => {
                self.tracepoint(name, |p, steps| self.param_to(p, 1, target, steps))
            }
            _ => Err(Reason::BadQuery),
        }
    }

    fn offset_of(&self, path: &str) -> Answer {
        let (name, members) = path.split_once('.').ok_or(Reason::BadQuery)?;
        self.first(name, |id, steps| {
            self.walk(id, members, steps).map(|(_, bytes)| bytes)
        })
    }

    fn bit_of(&self, path: &str) -> Answer {
        let (name, members) = path.split_once('.').ok_or(Reason::BadQuery)?;
        self.first(name, |id, steps| {
            self.walk_bits(id, members, steps).map(|found| found.bits)
        })
    }

    fn size_of(&self, path: &str) -> Answer {
        match path.split_once('.') {
            None => self.first(path, |id, steps| self.type_size(id, steps)),
            Some((name, members)) => self.first(name, |id, steps| {
                let (type_id, _) = self.walk(id, members, steps)?;
                self.type_size(type_id, steps)
            }),
        }
    }

    fn enum_value(&self, path: &str) -> Answer {
        let (name, value) = path.split_once('.').ok_or(Reason::BadQuery)?;
        if name.is_empty() {
            let unnamed = (1..).take(self.len()).filter(|&id| self.named(id, b""));
            return self.first_of(unnamed, |id, steps| {
                self.value_in(self.get(id)?, value.as_bytes(), steps)
            });
        }
        self.first(name, |id, steps| {
            self.value_in(self.strip(id, steps)?, value.as_bytes(), steps)
        })
    }

    fn value_in(&self, list: Type, value: &[u8], steps: &mut Steps) -> Answer {
        let item = match list.kind() {
            kind::ENUM => 8,
            kind::ENUM64 => 12,
            _ => return Err(Reason::NoType),
        };
        for entry in self.tail(list, item) {
            steps.take()?;
            if !self.is_name(word(entry, 0).ok_or(Reason::Malformed)?, value) {
                continue;
            }
            let low = word(entry, 4).ok_or(Reason::Malformed)?;
            let negative = list.kind_flag() && low >> 31 == 1;
            return match word(entry, 8) {
                None | Some(0) => Ok(low),
                Some(u32::MAX) if negative => Ok(low),
                Some(_) => Err(Reason::TooWide),
            };
        }
        Err(Reason::NoMember)
    }

    /// Calls `f` with the prototype behind a function or, with `kind` TYPEDEF, behind the
    /// typedef of a function pointer.
    fn prototype(&self, name: &str, kind: u8, f: impl Fn(Type, &mut Steps) -> Answer) -> Answer {
        self.first(name, |id, steps| {
            let mut at = self.get(id)?;
            if at.kind() != kind {
                return Err(Reason::NoType);
            }
            for _ in 0..MAX_DEPTH {
                match at.kind() {
                    kind::FUNC_PROTO => return f(at, steps),
                    kind::FUNC | kind::PTR => at = self.get(at.size_or_type)?,
                    _ => at = self.strip_one(at, steps)?.ok_or(Reason::NoType)?,
                }
            }
            Err(Reason::Malformed)
        })
    }

    /// `include/trace/define_trace.h`: `typedef void (*btf_trace_NAME)(void *__data, …)`.
    fn tracepoint(&self, name: &str, f: impl Fn(Type, &mut Steps) -> Answer) -> Answer {
        self.prototype(&format!("btf_trace_{name}"), kind::TYPEDEF, f)
    }

    /// Type ids of the parameters; the mark of a variadic function is not one.
    fn params(&self, proto: Type, steps: &mut Steps) -> Result<Vec<u32>, Reason> {
        let mut types = Vec::new();
        for param in self.tail(proto, PARAM) {
            steps.take()?;
            match (word(param, 0), word(param, 4)) {
                (Some(0), Some(0)) => {}
                (_, Some(type_id)) => types.push(type_id),
                (_, None) => return Err(Reason::Malformed),
            }
        }
        Ok(types)
    }

    fn param_to(&self, proto: Type, skip: usize, target: &str, steps: &mut Steps) -> Answer {
        for (index, type_id) in self
            .params(proto, steps)?
            .into_iter()
            .skip(skip)
            .enumerate()
        {
            if self.points_to(type_id, target.as_bytes(), steps)? {
                return count(index);
            }
        }
        Err(Reason::NoMember)
    }

    fn points_to(&self, type_id: u32, target: &[u8], steps: &mut Steps) -> Result<bool, Reason> {
        let Ok(pointer) = self.strip(type_id, steps) else {
            return Ok(false);
        };
        if pointer.kind() != kind::PTR {
            return Ok(false);
        }
        // `void *` ends here.
        let Ok(mut at) = self.get(pointer.size_or_type) else {
            return Ok(false);
        };
        for _ in 0..MAX_DEPTH {
            let nameable = at.is_record() || matches!(at.kind(), kind::FWD | kind::TYPEDEF);
            if nameable && self.is_name(at.name, target) {
                return Ok(true);
            }
            match self.strip_one(at, steps) {
                Ok(Some(inner)) => at = inner,
                Ok(None) | Err(Reason::NoMember) => return Ok(false),
                Err(reason) => return Err(reason),
            }
        }
        Err(Reason::Malformed)
    }

    /// Follows `a.b.c` from a record; answers the last member's type and its offset in bytes.
    fn walk(&self, start: u32, members: &str, steps: &mut Steps) -> Result<(u32, u32), Reason> {
        let found = self.walk_bits(start, members, steps)?;
        if found.bitfield || found.bits % 8 != 0 {
            return Err(Reason::Bitfield);
        }
        Ok((found.type_id, found.bits / 8))
    }

    /// As `walk`, but the last member may be a bitfield.
    fn walk_bits(&self, start: u32, members: &str, steps: &mut Steps) -> Result<Member, Reason> {
        let mut at = Member {
            type_id: start,
            bits: 0,
            bitfield: false,
        };
        for name in members.split('.') {
            let record = self.strip(at.type_id, steps)?;
            if !record.is_record() {
                return Err(if at.type_id == start {
                    Reason::NoType
                } else {
                    Reason::NoMember
                });
            }
            let found = self
                .member(record, name.as_bytes(), 0, steps)?
                .ok_or(Reason::NoMember)?;
            at = Member {
                bits: at.bits.checked_add(found.bits).ok_or(Reason::Malformed)?,
                ..found
            };
        }
        Ok(at)
    }

    fn member(
        &self,
        record: Type,
        name: &[u8],
        depth: u32,
        steps: &mut Steps,
    ) -> Result<Option<Member>, Reason> {
        if depth > MAX_DEPTH {
            return Err(Reason::Malformed);
        }
        for entry in self.tail(record, MEMBER) {
            steps.take()?;
            let (Some(name_at), Some(type_id), Some(place)) =
                (word(entry, 0), word(entry, 4), word(entry, 8))
            else {
                return Err(Reason::Malformed);
            };
            let (bits, width) = if record.kind_flag() {
                (place & 0x00ff_ffff, place >> 24)
            } else {
                (place, 0)
            };
            if self.is_name(name_at, name) {
                let bitfield = width != 0 || self.is_partial_int(type_id, steps)?;
                return Ok(Some(Member {
                    type_id,
                    bits,
                    bitfield,
                }));
            }
            if name_at != 0 {
                continue;
            }
            let inner = self.strip(type_id, steps)?;
            if !inner.is_record() {
                continue;
            }
            if let Some(found) = self.member(inner, name, depth + 1, steps)? {
                let bits = bits.checked_add(found.bits).ok_or(Reason::Malformed)?;
                return Ok(Some(Member { bits, ..found }));
            }
        }
        Ok(None)
    }

    /// Without kind_flag a bitfield shows only in its INT: an offset, or fewer bits than bytes.
    fn is_partial_int(&self, type_id: u32, steps: &mut Steps) -> Result<bool, Reason> {
        let Ok(int) = self.strip(type_id, steps) else {
            return Ok(false);
        };
        if int.kind() != kind::INT {
            return Ok(false);
        }
        let data = self
            .data
            .get(int.tail..)
            .and_then(|d| word(d, 0))
            .ok_or(Reason::Malformed)?;
        Ok((data >> 16) & 0xff != 0 || Some(data & 0xff) != int.size_or_type.checked_mul(8))
    }

    fn type_size(&self, mut id: u32, steps: &mut Steps) -> Answer {
        let mut factor = 1u32;
        for _ in 0..MAX_DEPTH {
            let at = self.strip(id, steps)?;
            let size = match at.kind() {
                kind::PTR => POINTER_BYTES,
                kind::INT
                | kind::STRUCT
                | kind::UNION
                | kind::ENUM
                | kind::ENUM64
                | kind::FLOAT => at.size_or_type,
                kind::ARRAY => {
                    let array = self.data.get(at.tail..).ok_or(Reason::Malformed)?;
                    let elements = word(array, 8).ok_or(Reason::Malformed)?;
                    factor = factor.checked_mul(elements).ok_or(Reason::Malformed)?;
                    id = word(array, 0).ok_or(Reason::Malformed)?;
                    continue;
                }
                _ => return Err(Reason::NoType),
            };
            return factor.checked_mul(size).ok_or(Reason::Malformed);
        }
        Err(Reason::Malformed)
    }

    /// Runs `f` on every type of that name, lowest id first, until one answers.
    fn first(&self, name: &str, f: impl Fn(u32, &mut Steps) -> Answer) -> Answer {
        let mask = self.heads.len().wrapping_sub(1);
        let head = self
            .heads
            .get(hash(name.as_bytes()) as usize & mask)
            .copied()
            .unwrap_or(END);
        let chain = std::iter::successors(Some(head), |id| self.next.get(*id as usize).copied());
        let same = chain
            .take_while(|id| *id != END)
            .filter(|id| self.named(*id, name.as_bytes()));
        self.first_of(same, f)
    }

    fn first_of(
        &self,
        ids: impl Iterator<Item = u32>,
        f: impl Fn(u32, &mut Steps) -> Answer,
    ) -> Answer {
        let mut steps = Steps(MAX_STEPS);
        let mut worst = Reason::NoType;
        for id in ids {
            match f(id, &mut steps) {
                Ok(answer) => return Ok(answer),
                Err(reason) => worst = worst.max(reason),
            }
        }
        Err(worst)
    }

    /// Skips typedefs and qualifiers.
    fn strip(&self, id: u32, steps: &mut Steps) -> Result<Type, Reason> {
        let mut at = self.get(id)?;
        for _ in 0..MAX_DEPTH {
            match self.strip_one(at, steps)? {
                None => return Ok(at),
                Some(inner) => at = inner,
            }
        }
        Err(Reason::Malformed)
    }

    fn strip_one(&self, at: Type, steps: &mut Steps) -> Result<Option<Type>, Reason> {
        steps.take()?;
        if is_modifier(at.kind()) {
            self.get(at.size_or_type).map(Some)
        } else {
            Ok(None)
        }
    }
}

fn is_modifier(kind: u8) -> bool {
    matches!(
        kind,
        kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG
    )
}

fn check_name(name: &str) -> Result<(), Reason> {
    let ok = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if ok { Ok(()) } else { Err(Reason::BadQuery) }
}

fn count(n: usize) -> Answer {
    u32::try_from(n).map_err(|_| Reason::Malformed)
}
