//! Writes the image to `target/image`, under the name `IMAGE`
//! (`nfs-guard:<version>`): `make image`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is what the program is for")]

use std::{env, fs, process::ExitCode};

use anyhow::{Context, Result, ensure};
use nfs_guard_image::{BUDGET, Image, Layout, Reference, Release};

fn main() -> ExitCode {
    match write() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn write() -> Result<()> {
    let Release { program, version, labels, created, target } = Release::build()?;
    let name = env::var("IMAGE").unwrap_or_else(|_| format!("nfs-guard:{version}"));
    let reference: Reference = name.parse()?;
    let image = Image::new(&program, &labels, created).context("packing the image")?;
    let layout = Layout::new(&image, &reference).context("describing the image")?;

    let (folder, archive) = (target.join("image/oci"), target.join("image/nfs-guard.tar"));
    layout.write_to(&folder).with_context(|| format!("writing {}", folder.display()))?;
    let packed = layout.archive(created).context("packing the layout")?;
    fs::write(&archive, packed).with_context(|| format!("writing {}", archive.display()))?;

    println!("image    {reference}, linux/{}, of {created}", program.architecture);
    println!("layout   {}", folder.display());
    println!("archive  {}", archive.display());
    println!("digest   {}", image.manifest.descriptor.digest);
    println!("size     {} bytes, {} compressed", image.size, image.layer.descriptor.size);
    ensure!(image.size < BUDGET, "the image is over its budget of {BUDGET} bytes");
    Ok(())
}
