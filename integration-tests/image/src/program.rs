//! The program an image is made of, read as the loader would read it.

use thiserror::Error;

/// An executable for Linux that needs nothing but the kernel.
#[derive(Clone, Debug)]
pub struct Program {
    /// The file.
    pub bytes: Vec<u8>,
    /// What it runs on, as OCI (which is as Go) names it.
    pub architecture: &'static str,
}

/// Why a file cannot be all that an image holds.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ProgramError {
    /// No executable, or one cut short.
    #[error("it is no complete 64-bit little-endian ELF file")]
    Malformed,
    /// A processor nobody built the guard for yet.
    #[error("ELF machine {0} has no name here; see e_machine in elf(5)")]
    Machine(u16),
    /// It would not start: the loader it asks for is not in the image.
    #[error("it asks for a loader at run time; build it with .cargo/release.toml")]
    Dynamic,
}

impl Program {
    /// Reads the file's header and its program headers.
    pub fn new(bytes: Vec<u8>) -> Result<Self, ProgramError> {
        let architecture = inspect(&bytes)?;
        Ok(Self { bytes, architecture })
    }
}

/// The architecture of a program that asks for no loader.
fn inspect(file: &[u8]) -> Result<&'static str, ProgramError> {
    if !file.starts_with(ELF64_LITTLE_ENDIAN) {
        return Err(ProgramError::Malformed);
    }
    let architecture = match number::<2>(file, 18)? {
        62 => "amd64",
        183 => "arm64",
        machine => return Err(ProgramError::Machine(u16::try_from(machine).unwrap_or(u16::MAX))),
    };
    let (headers, size) = (number::<8>(file, 32)?, number::<2>(file, 54)?);
    for index in 0..number::<2>(file, 56)? {
        let header = index.checked_mul(size).and_then(|offset| offset.checked_add(headers));
        if number::<4>(file, header.ok_or(ProgramError::Malformed)?)? == PT_INTERP {
            return Err(ProgramError::Dynamic);
        }
    }
    Ok(architecture)
}

/// Magic, class and byte order; what follows lies where elf(5) says of that class.
const ELF64_LITTLE_ENDIAN: &[u8] = b"\x7fELF\x02\x01";

/// A program header that names a loader.
const PT_INTERP: usize = 3;

/// The number of `SIZE` bytes, low byte first, at that place.
fn number<const SIZE: usize>(file: &[u8], offset: usize) -> Result<usize, ProgramError> {
    let bytes = file.get(offset..).and_then(<[u8]>::first_chunk::<SIZE>);
    let bytes = bytes.ok_or(ProgramError::Malformed)?;
    Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_static_programs_and_tells_what_they_run_on() {
        for (machine, architecture) in [(62, "amd64"), (183, "arm64")] {
            assert_eq!(inspect(&elf(machine, &[1, 2, 7])), Ok(architecture));
        }
    }

    #[test]
    fn refuses_what_would_not_start_in_an_empty_root() {
        let cut = elf(62, &[1, 2, 7]);
        for (case, file, error) in [
            ("a loader named first", elf(62, &[3, 1]), ProgramError::Dynamic),
            ("a loader named last", elf(62, &[6, 1, 3]), ProgramError::Dynamic),
            ("another processor", elf(243, &[1]), ProgramError::Machine(243)),
            ("a script", b"#!/bin/sh\n".to_vec(), ProgramError::Malformed),
            ("cut short", cut[..cut.len() - 56].to_vec(), ProgramError::Malformed),
            ("nothing", Vec::new(), ProgramError::Malformed),
        ] {
            assert_eq!(inspect(&file), Err(error), "{case}");
        }
    }

    /// A header of 64 bytes, and after it program headers of 56 of these types.
    fn elf(machine: u16, types: &[u32]) -> Vec<u8> {
        let mut file = ELF64_LITTLE_ENDIAN.to_vec();
        file.resize(64, 0);
        file[18..20].copy_from_slice(&machine.to_le_bytes());
        file[32] = 64;
        file[54] = 56;
        file[56] = u8::try_from(types.len()).expect("a few headers");
        for kind in types {
            file.extend(kind.to_le_bytes());
            file.resize(file.len() + 52, 0);
        }
        file
    }
}
