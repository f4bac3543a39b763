//! Stand-ins for Triton's own library.
//!
//! Backends that were built for Triton name `libtritonserver.so` as a library that they need; packages of Python rename
//! it. The functions that they want of it are this process's. So an empty library of whatever name it is gets loaded
//! before: the loader takes what is loaded already for what is needed, looks for no file of that name, and finds the
//! functions in the process.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::mem;
use std::os::fd::AsRawFd;
use std::sync::LazyLock;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use nerite_backend::BackendError;
use parking_lot::Mutex;
use rustix::fs::{MemfdFlags, memfd_create};

use crate::elf::{
    DT_HASH, DT_NULL, DT_SONAME, DT_STRSZ, DT_STRTAB, DT_SYMENT, DT_SYMTAB, DYN_SIZE, EHDR_SIZE, ELFCLASS64,
    ELFDATA2LSB, ELFMAG, ET_DYN, EV_CURRENT, MACHINE, PF_R, PF_W, PHDR_SIZE, PT_DYNAMIC, PT_GNU_STACK,
    PT_LOAD, SYM_SIZE,
};

/// Whether a library of that name stands for the server.
pub(crate) fn is_server(soname: &str) -> bool {
    soname.starts_with("libtritonserver") && soname.contains(".so")
}

/// Sees to it that a library of that name is loaded, and stays.
pub(crate) fn load(soname: &str) -> Result<(), BackendError> {
    static LOADED: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);
    let mut loaded = LOADED.lock();
    if loaded.contains(soname) {
        return Ok(());
    }
    let failed = |problem: &dyn std::fmt::Display| {
        BackendError::internal(format!("no stand-in for '{soname}' could be loaded: {problem}"))
    };
    // In memory, since there may be no directory that can be written.
    let file = memfd_create("libtritonserver", MemfdFlags::CLOEXEC).map_err(|problem| failed(&problem))?;
    let mut file = File::from(file);
    file.write_all(&image(soname)).map_err(|problem| failed(&problem))?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    // SAFETY: the library has no code that could run.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) };
    mem::forget(library.map_err(|problem| failed(&problem))?);
    // The loader knows the library by this path: were the number used again, it would take the next for the same one.
    mem::forget(file);
    loaded.insert(soname.to_owned());
    Ok(())
}

/// How many segments it has.
const SEGMENTS: usize = 3;

/// The library: headers, a dynamic section, an empty table of symbols with its hash table, and the name. It is one
/// segment that begins at 0, so that places in the file are addresses.
pub(crate) fn image(soname: &str) -> Vec<u8> {
    const ENTRIES: usize = 7;
    let dynamic = EHDR_SIZE + SEGMENTS * PHDR_SIZE;
    let symbols = dynamic + ENTRIES * DYN_SIZE;
    let hash = symbols + SYM_SIZE;
    let names = hash + 16;
    let names_size = 1 + soname.len() + 1;
    let end = names + names_size;

    let mut image = Vec::with_capacity(end);
    image.extend(ELFMAG);
    image.extend([ELFCLASS64, ELFDATA2LSB, EV_CURRENT]);
    image.extend([0; 9]);
    u16s(&mut image, [ET_DYN, MACHINE]);
    u32s(&mut image, [u32::from(EV_CURRENT)]);
    u64s(&mut image, [0, EHDR_SIZE as u64, 0]);
    u32s(&mut image, [0]);
    // Of the header, and of the entries of two tables with their numbers; the second, of sections, is empty.
    let sizes = [EHDR_SIZE, PHDR_SIZE, SEGMENTS, 64, 0, 0];
    u16s(&mut image, sizes.map(|size| size as u16));
    // To be read and written: the loader notes addresses in the dynamic section.
    segment(&mut image, PT_LOAD, 0, end, 0x1000);
    segment(&mut image, PT_DYNAMIC, dynamic, ENTRIES * DYN_SIZE, 8);
    // Without this one the loader takes it that the library wants a stack that can be executed.
    segment(&mut image, PT_GNU_STACK, 0, 0, 16);
    let entries: [(u64, usize); ENTRIES] = [
        (DT_SONAME, 1),
        (DT_HASH, hash),
        (DT_STRTAB, names),
        (DT_SYMTAB, symbols),
        (DT_STRSZ, names_size),
        (DT_SYMENT, SYM_SIZE),
        (DT_NULL, 0),
    ];
    entries.into_iter().for_each(|(tag, value)| u64s(&mut image, [tag, value as u64]));
    image.extend([0; SYM_SIZE]);
    // One bucket, one symbol: the one that is none.
    u32s(&mut image, [1, 1, 0, 0]);
    image.push(0);
    image.extend(soname.as_bytes());
    image.push(0);
    image
}

fn segment(image: &mut Vec<u8>, kind: u32, at: usize, size: usize, alignment: usize) {
    u32s(image, [kind, PF_R | PF_W]);
    u64s(image, [at, at, at, size, size, alignment].map(|number| number as u64));
}

fn u16s<const N: usize>(image: &mut Vec<u8>, numbers: [u16; N]) {
    image.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
}

fn u32s<const N: usize>(image: &mut Vec<u8>, numbers: [u32; N]) {
    image.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
}

fn u64s<const N: usize>(image: &mut Vec<u8>, numbers: [u64; N]) {
    image.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::Elf;

    #[test]
    fn an_image_is_a_library_of_that_name_that_needs_and_has_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.so");
        std::fs::write(&path, image("libtritonserver-717102f0.so")).unwrap();
        let elf = Elf::read(&path).unwrap();
        assert!(elf.needed.is_empty() && elf.knows(b"libtritonserver-717102f0.so"));
    }

    #[test]
    fn what_needs_a_library_of_that_name_finds_the_stand_in() {
        load("libtritonserver-test.so").unwrap();
        load("libtritonserver-test.so").unwrap();
        // SAFETY: what is found is the stand-in, which has no code.
        let found = unsafe { Library::open(Some("libtritonserver-test.so"), RTLD_NOW) };
        assert!(found.is_ok(), "{found:?}");
        assert!(is_server("libtritonserver-717102f0.so") && is_server("libtritonserver.so"));
        assert!(!is_server("libtriton_python.so"));
    }
}
