//! What a process is started with in place of what a container is started with.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

/// Where a container's volumes are: mount paths and the folders behind them.
pub(super) type Mounts = Vec<(String, PathBuf)>;

/// The arguments for a process that has neither mounts, nor a network, nor DNS
/// of its own; `service` is the URL of the Service its pod belongs to.
pub(super) fn for_process(
    arguments: &[String],
    mounts: &Mounts,
    address: Ipv4Addr,
    service: Option<&str>,
) -> Vec<String> {
    let everywhere = "[::]:";
    let mut mapped: Vec<String> = arguments
        .iter()
        .map(|argument| in_folders(argument, mounts).replace(everywhere, &format!("{address}:")))
        .collect();
    match mapped.first().map(String::as_str) {
        Some("serve") => {
            for (flag, port) in [("--listen", 8443), ("--admin-listen", 8080)] {
                let prefix = format!("{flag}=");
                if !mapped.iter().any(|argument| argument.starts_with(&prefix)) {
                    mapped.push(format!("{prefix}{address}:{port}"));
                }
            }
        }
        Some("self-test") => mapped.extend(service.map(|url| format!("--url={url}"))),
        _ => {}
    }
    mapped
}

/// The path of `inside` the mounts on this machine.
pub(super) fn on_this_machine(inside: &str, mounts: &Mounts) -> Option<PathBuf> {
    // The longest: mounts may lie in one another.
    let below = |path: &String| {
        let rest = inside.strip_prefix(path.trim_end_matches('/'))?;
        (rest.is_empty() || rest.starts_with('/')).then(|| rest.trim_start_matches('/'))
    };
    mounts
        .iter()
        .filter_map(|(path, folder)| Some((path.len(), folder, below(path)?)))
        .max_by_key(|&(length, ..)| length)
        .map(
            |(_, folder, rest)| {
                if rest.is_empty() { folder.clone() } else { folder.join(Path::new(rest)) }
            },
        )
}

fn in_folders(argument: &str, mounts: &Mounts) -> String {
    let (flag, value) = match argument.split_once('=') {
        Some((flag, value)) => (format!("{flag}="), value),
        None => (String::new(), argument),
    };
    match on_this_machine(value, mounts) {
        Some(path) => format!("{flag}{}", path.display()),
        None => argument.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 64, 0, 16);

    fn mounts() -> Mounts {
        vec![
            ("/etc/nfs-guard".into(), "/scratch/config".into()),
            ("/etc/nfs-guard/tls/".into(), "/scratch/tls".into()),
        ]
    }

    #[test]
    fn paths_below_a_mount_are_found_in_its_folder() {
        for (argument, expected) in [
            ("--config=/etc/nfs-guard/config.yaml", "--config=/scratch/config/config.yaml"),
            ("/etc/nfs-guard", "/scratch/config"),
            ("--key=/etc/nfs-guard/tls/tls.key", "--key=/scratch/tls/tls.key"),
            ("--config=/etc/nfs-guarded/config.yaml", "--config=/etc/nfs-guarded/config.yaml"),
            ("--service=nfs-guard", "--service=nfs-guard"),
            ("serve", "serve"),
        ] {
            assert_eq!(in_folders(argument, &mounts()), expected);
        }
    }

    #[test]
    fn a_server_listens_on_its_pods_address_and_a_self_test_needs_no_names() {
        let service = Some("https://127.96.0.50:443");
        for (arguments, expected) in [
            (&["serve"][..], "serve --listen=127.64.0.16:8443 --admin-listen=127.64.0.16:8080"),
            (
                &["serve", "--listen=[::]:9443", "--admin-listen=[::]:9080"],
                "serve --listen=127.64.0.16:9443 --admin-listen=127.64.0.16:9080",
            ),
            (&["self-test"], "self-test --url=https://127.96.0.50:443"),
            (&["schema", "config"], "schema config"),
        ] {
            let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
            assert_eq!(for_process(&arguments, &mounts(), ADDRESS, service).join(" "), expected);
        }
    }
}
