//! What a file says of itself before it is loaded: loading runs code of it.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A shared library for this machine.
#[derive(Debug)]
pub(crate) struct Elf {
    /// The libraries that it needs.
    pub(crate) needed: Vec<String>,
    /// Every name in it: of libraries, of what it has and of what it lacks.
    names: Vec<u8>,
}

/// Why a file cannot be loaded as a plugin, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadLibrary {
    /// It cannot be read.
    #[error("cannot be read: {0}; let the server's user read it")]
    Unreadable(#[from] io::Error),
    /// It has another kind of thing in its place.
    #[error("is {0} and not a file; put the library's file there")]
    NoFile(&'static str),
    /// It has no bytes.
    #[error("is empty; copy or build it again")]
    Empty,
    /// It is the pointer that Git LFS leaves in a file's place.
    #[error("is a pointer of Git LFS and not the file itself; fetch it with git lfs pull")]
    LfsPointer,
    /// It is something else altogether.
    #[error("is not a shared library: it does not begin as an ELF file; build it with cc -shared -fPIC")]
    NotElf,
    /// It is made for 32 bits or for the other order of bytes.
    #[error("is for {0} machines, and this one is not; build it for {here}", here = std::env::consts::ARCH)]
    OtherLayout(&'static str),
    /// It is made for another processor.
    #[error("is for another processor ({0}); build it for {here}", here = std::env::consts::ARCH)]
    OtherMachine(String),
    /// It is an executable, an object file, a core dump.
    #[error("is {0} and not a shared library; build it with cc -shared -fPIC")]
    NotShared(&'static str),
    /// Its tables do not hold together.
    #[error("is truncated or damaged: {0}; copy or build it again")]
    Damaged(&'static str),
}

/// The largest table of names that is read.
const MAX_NAMES: u64 = 256 << 20;
/// The largest dynamic section that is read.
const MAX_DYNAMIC: u64 = 1 << 20;

// What follows has its name in the ELF specification.

/// What a file begins with.
pub(crate) const ELFMAG: &[u8] = b"\x7fELF";
pub(crate) const EI_CLASS: usize = 4;
pub(crate) const EI_DATA: usize = 5;
pub(crate) const ELFCLASS32: u8 = 1;
pub(crate) const ELFCLASS64: u8 = 2;
pub(crate) const ELFDATA2LSB: u8 = 1;
pub(crate) const EV_CURRENT: u8 = 1;

pub(crate) const ET_REL: u16 = 1;
pub(crate) const ET_EXEC: u16 = 2;
pub(crate) const ET_DYN: u16 = 3;
pub(crate) const ET_CORE: u16 = 4;

pub(crate) const EM_PPC64: u16 = 21;
pub(crate) const EM_S390: u16 = 22;
pub(crate) const EM_X86_64: u16 = 62;
pub(crate) const EM_AARCH64: u16 = 183;
pub(crate) const EM_RISCV: u16 = 243;

pub(crate) const PT_LOAD: u32 = 1;
pub(crate) const PT_DYNAMIC: u32 = 2;
pub(crate) const PT_GNU_STACK: u32 = 0x6474_e551;
pub(crate) const PF_W: u32 = 2;
pub(crate) const PF_R: u32 = 4;

pub(crate) const DT_NULL: u64 = 0;
pub(crate) const DT_NEEDED: u64 = 1;
pub(crate) const DT_HASH: u64 = 4;
pub(crate) const DT_STRTAB: u64 = 5;
pub(crate) const DT_SYMTAB: u64 = 6;
pub(crate) const DT_STRSZ: u64 = 10;
pub(crate) const DT_SYMENT: u64 = 11;
pub(crate) const DT_SONAME: u64 = 14;

/// Sizes in bytes: of the header, of an entry of the table of segments, of the dynamic section, of the table of
/// symbols.
pub(crate) const EHDR_SIZE: usize = 64;
pub(crate) const PHDR_SIZE: usize = 56;
pub(crate) const DYN_SIZE: usize = 16;
pub(crate) const SYM_SIZE: usize = 24;

/// This machine.
#[cfg(target_arch = "x86_64")]
pub(crate) const MACHINE: u16 = EM_X86_64;
/// This machine.
#[cfg(target_arch = "aarch64")]
pub(crate) const MACHINE: u16 = EM_AARCH64;

impl Elf {
    /// Reads what the file says.
    pub(crate) fn read(path: &Path) -> Result<Elf, BadLibrary> {
        // Before it is opened: a pipe would be waited for.
        let metadata = path.metadata()?;
        if !metadata.is_file() {
            return Err(BadLibrary::NoFile(if metadata.is_dir() {
                "a directory"
            } else {
                "a pipe or a device"
            }));
        }
        if metadata.len() == 0 {
            return Err(BadLibrary::Empty);
        }
        let file = File::open(path)?;
        let mut header = [0; EHDR_SIZE];
        let length = fill(&file, &mut header)?;
        check_header(&header[..length])?;
        let segments = segments(&file, &header)?;
        // The loader would map what is not there, and the process would end at the first look at it.
        let whole = |segment: &Segment| segment.end().is_some_and(|end| end <= metadata.len());
        if !segments.iter().filter(|segment| segment.kind == PT_LOAD).all(whole) {
            return Err(BadLibrary::Damaged("it ends before its segments do"));
        }
        let dynamic = segments
            .iter()
            .find(|segment| segment.kind == PT_DYNAMIC)
            .ok_or(BadLibrary::NotShared("linked statically"))?;
        let entries = read(&file, dynamic.offset, dynamic.size.min(MAX_DYNAMIC), "its dynamic section")?;
        let entries: Vec<(u64, u64)> = entries
            .chunks_exact(DYN_SIZE)
            .map(|entry| (u64_at(entry, 0), u64_at(entry, 8)))
            .take_while(|(tag, _)| *tag != DT_NULL)
            .collect();
        let value = |wanted| entries.iter().find(|(tag, _)| *tag == wanted).map(|(_, value)| *value);
        let (Some(address), Some(size)) = (value(DT_STRTAB), value(DT_STRSZ)) else {
            return Err(BadLibrary::Damaged("it has no table of names"));
        };
        let offset =
            offset_of(&segments, address).ok_or(BadLibrary::Damaged("its table of names is nowhere"))?;
        let names = read(&file, offset, size.min(MAX_NAMES), "its table of names")?;
        let needed = entries.iter().filter(|(tag, _)| *tag == DT_NEEDED).map(|(_, at)| name(&names, *at));
        let needed = needed.collect::<Option<_>>().ok_or(BadLibrary::Damaged("it needs what has no name"))?;
        Ok(Elf { needed, names })
    }

    /// Whether something in it has that name. What has not cannot be exported.
    pub(crate) fn knows(&self, name: &[u8]) -> bool {
        self.names.split(|&byte| byte == 0).any(|known| known == name)
    }
}

fn check_header(header: &[u8]) -> Result<(), BadLibrary> {
    if header.starts_with(b"version https://git-lfs") {
        return Err(BadLibrary::LfsPointer);
    }
    if !header.starts_with(ELFMAG) {
        return Err(BadLibrary::NotElf);
    }
    if header.len() < EHDR_SIZE {
        return Err(BadLibrary::Damaged("it ends within its header"));
    }
    match (header[EI_CLASS], header[EI_DATA]) {
        (ELFCLASS64, ELFDATA2LSB) => {}
        (ELFCLASS32, _) => return Err(BadLibrary::OtherLayout("32-bit")),
        _ => return Err(BadLibrary::OtherLayout("big-endian")),
    }
    let machine = u16_at(header, 18);
    if machine != MACHINE {
        return Err(BadLibrary::OtherMachine(machine_name(machine)));
    }
    match u16_at(header, 16) {
        ET_DYN => Ok(()),
        ET_REL => Err(BadLibrary::NotShared("an object file")),
        ET_EXEC => Err(BadLibrary::NotShared("an executable")),
        ET_CORE => Err(BadLibrary::NotShared("a core dump")),
        _ => Err(BadLibrary::NotShared("of no known kind")),
    }
}

fn machine_name(machine: u16) -> String {
    match machine {
        EM_X86_64 => "x86_64".to_owned(),
        EM_AARCH64 => "aarch64".to_owned(),
        EM_PPC64 => "powerpc64".to_owned(),
        EM_S390 => "s390x".to_owned(),
        EM_RISCV => "riscv".to_owned(),
        other => format!("machine {other} of ELF"),
    }
}

struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    size: u64,
}

impl Segment {
    /// Where in the file it ends.
    fn end(&self) -> Option<u64> {
        self.offset.checked_add(self.size)
    }
}

fn segments(file: &File, header: &[u8; EHDR_SIZE]) -> Result<Vec<Segment>, BadLibrary> {
    let (offset, entry_size, count) =
        (u64_at(header, 32), u64::from(u16_at(header, 54)), u64::from(u16_at(header, 56)));
    if entry_size != PHDR_SIZE as u64 {
        return Err(BadLibrary::Damaged("its segments are of no known form"));
    }
    let table = read(file, offset, entry_size * count, "its table of segments")?;
    let segment = |entry: &[u8]| Segment {
        kind: u32_at(entry, 0),
        offset: u64_at(entry, 8),
        address: u64_at(entry, 16),
        size: u64_at(entry, 32),
    };
    Ok(table.chunks_exact(PHDR_SIZE).map(segment).collect())
}

/// Where in the file lies what will lie at that address.
fn offset_of(segments: &[Segment], address: u64) -> Option<u64> {
    let segment = segments.iter().find(|segment| {
        segment.kind == PT_LOAD && segment.address <= address && address - segment.address < segment.size
    })?;
    segment.offset.checked_add(address - segment.address)
}

fn name(names: &[u8], at: u64) -> Option<String> {
    let name = names.get(usize::try_from(at).ok()?..)?.split(|&byte| byte == 0).next()?;
    Some(String::from_utf8_lossy(name).into_owned())
}

/// As many bytes as there are, up to those that fit.
fn fill(mut file: &File, into: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < into.len() {
        match file.read(&mut into[length..])? {
            0 => break,
            more => length += more,
        }
    }
    Ok(length)
}

fn read(file: &File, offset: u64, size: u64, what: &'static str) -> Result<Vec<u8>, BadLibrary> {
    // What the file says is held against what there is before memory is taken for it.
    let end = offset.checked_add(size).filter(|&end| file.metadata().is_ok_and(|file| end <= file.len()));
    let size = end.and_then(|_| usize::try_from(size).ok()).ok_or(BadLibrary::Damaged(what))?;
    let mut bytes = vec![0; size];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|bytes| bytes.try_into().ok()).map_or(0, u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stand_in;

    #[track_caller]
    fn refused(bytes: &[u8], expected: &str) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("libtriton_x.so");
        std::fs::write(&path, bytes).unwrap();
        let error = Elf::read(&path).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    fn changed(at: usize, to: u8) -> Vec<u8> {
        let mut image = stand_in::image("libx.so");
        image[at] = to;
        image
    }

    #[test]
    fn what_is_no_library_for_this_machine_is_told_what_it_is() {
        refused(b"", "is empty");
        refused(b"#!/bin/sh\n", "not a shared library");
        refused(b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull");
        refused(&stand_in::image("libx.so")[..20], "ends within its header");
        refused(&stand_in::image("libx.so")[..100], "truncated");
        refused(&changed(EI_CLASS, ELFCLASS32), "32-bit");
        refused(&changed(EI_DATA, 2), "big-endian");
        refused(&changed(18, 243), "another processor (riscv)");
        refused(&changed(16, 1), "an object file");
        refused(&changed(16, 2), "an executable");
        assert!(Elf::read(Path::new("/nowhere")).unwrap_err().to_string().contains("cannot be read"));
    }

    #[test]
    fn no_damage_to_a_library_makes_reading_it_panic() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("libtriton_x.so");
        let image = stand_in::image("libx.so");
        for at in 0..image.len() {
            for to in [0, 0x7f, 0xff] {
                std::fs::write(&path, changed(at, to)).unwrap();
                drop(Elf::read(&path));
            }
            std::fs::write(&path, &image[..at]).unwrap();
            drop(Elf::read(&path));
        }
    }
}
