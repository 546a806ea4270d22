//! Certificates that others issue. The test plays cert-manager: it writes the Secret as
//! cert-manager would, and injects the caBundle as its CA injector would.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::ByteString;
use nfs_guard_certs::{
    Charge, Configuration, Issuer, Lifetimes, Material, Rotator, ServerNames, Slot, issue,
    server_config,
};
use nfs_guard_integration_tests::{ControlPlane, Kubectl, TestNamespace, User};
use serde_json::json;
use tokio::{net::TcpListener, runtime::Runtime, task::JoinHandle};
use tokio_rustls::TlsAcceptor;

use super::{
    trust::{Bundles, Clients, client},
    until,
};

#[test]
fn a_secret_that_somebody_else_keeps_is_served_and_its_ca_published() {
    let control_plane = ControlPlane::shared();
    let _turn = control_plane.reserve();
    let runtime = Runtime::new().unwrap();
    let release = Release::install(control_plane, "external");
    let configurations = [
        Configuration::Mutating(release.fullname()),
        Configuration::Validating(release.fullname()),
    ];
    let guard = release.serve(&runtime, configurations.to_vec());
    let kubeconfig = control_plane.credentials().kubeconfig(User::Admin);
    let bundles = Bundles::follow(&runtime, &client(&runtime, &kubeconfig), &release.fullname());

    for certificate in ["the first", "one under another CA"] {
        let issued = issue(&release.names(), Timestamp::now()).unwrap();
        release.write_secret_as_cert_manager(&issued);
        until(certificate, || {
            let trusted = bundles.trusted(Duration::ZERO);
            if trusted == [issued.ca_bundle()] { Ok(()) } else { Err(format!("{trusted:?}")) }
        });
        until(certificate, || guard.handshake(&runtime, issued.ca_bundle()));
    }
    for (granted, question) in [
        (true, ["watch", "secrets/external-nfs-guard-tls"]),
        (false, ["update", "secrets/external-nfs-guard-tls"]),
        (true, ["patch", "validatingwebhookconfigurations/external-nfs-guard"]),
    ] {
        assert_eq!(release.may(&question), granted, "{question:?}");
    }
}

#[test]
fn cert_manager_issues_and_injects_and_the_guard_may_do_neither() {
    let control_plane = ControlPlane::shared();
    let _turn = control_plane.reserve();
    let runtime = Runtime::new().unwrap();
    let admin = control_plane.kubectl(User::Admin);
    for (plural, kind) in [("certificates", "Certificate"), ("issuers", "Issuer")] {
        let stub = stub(plural, kind);
        admin.apply(&stub).expect_success();
        admin.wait(&["--for=condition=Established", &format!("crd/{plural}.cert-manager.io")]);
    }
    let release = Release::install(control_plane, "cert-manager");
    let in_own = release.admin();
    let fullname = release.fullname();
    let certificate = in_own.get(&["certificates.cert-manager.io", &fullname]);
    let spec = &certificate["spec"];
    assert_eq!(spec["secretName"], format!("{fullname}-tls"));
    let asked_for = format!("{fullname}.{}.svc", release.namespace);
    assert_eq!(spec["dnsNames"][0], asked_for);
    // Its issuer is there, and so is what that issuer signs with.
    let ca_issuer =
        in_own.get(&["issuers.cert-manager.io", spec["issuerRef"]["name"].as_str().unwrap()]);
    let ca = in_own.get(&["certificates.cert-manager.io", &format!("{fullname}-ca")]);
    assert_eq!(ca["spec"]["isCA"], true);
    assert_eq!(ca_issuer["spec"]["ca"]["secretName"], ca["spec"]["secretName"]);
    for kind in ["validating", "mutating"] {
        let configuration = in_own.get(&[&format!("{kind}webhookconfiguration"), &fullname]);
        let annotations = &configuration["metadata"]["annotations"];
        let injected = format!("{}/{fullname}", release.namespace);
        assert_eq!(annotations["cert-manager.io/inject-ca-from"], injected);
    }

    let guard = release.serve(&runtime, vec![]);
    let kubeconfig = control_plane.credentials().kubeconfig(User::Admin);
    let bundles = Bundles::follow(&runtime, &client(&runtime, &kubeconfig), &fullname);
    let issued = issue(&release.names(), Timestamp::now()).unwrap();
    release.write_secret_as_cert_manager(&issued);
    release.inject_as_cert_manager(&issued);
    until("the injected bundle", || {
        let trusted = bundles.trusted(Duration::ZERO);
        if trusted == [issued.ca_bundle()] { Ok(()) } else { Err(format!("{trusted:?}")) }
    });
    until("its certificate", || guard.handshake(&runtime, issued.ca_bundle()));
    for (granted, question) in [
        (true, ["watch", &format!("secrets/{fullname}-tls")]),
        (false, ["update", &format!("secrets/{fullname}-tls")]),
        (false, ["patch", &format!("validatingwebhookconfigurations/{fullname}")]),
        (false, ["watch", &format!("mutatingwebhookconfigurations/{fullname}")]),
    ] {
        assert_eq!(release.may(&question), granted, "{question:?}");
    }
    drop(release);
    let stubs = ["delete", "crd", "certificates.cert-manager.io", "issuers.cert-manager.io"];
    admin.run(&stubs).expect_success();
}

/// A release of the chart in that mode; uninstalled when dropped.
struct Release {
    control_plane: &'static ControlPlane,
    namespace: TestNamespace<'static>,
    mode: &'static str,
}

impl Release {
    fn install(control_plane: &'static ControlPlane, mode: &'static str) -> Self {
        let namespace = control_plane.namespace(mode, &[]);
        let mode_value = format!("certificates.mode={mode}");
        let installed = control_plane.helm().install(
            mode,
            namespace.name(),
            &["--set", &mode_value, "--set", "replicas=0"],
        );
        installed.expect_success();
        Self { control_plane, namespace, mode }
    }

    fn fullname(&self) -> String {
        format!("{}-nfs-guard", self.mode)
    }

    fn admin(&self) -> Kubectl {
        self.namespace.kubectl_as(User::Admin)
    }

    fn names(&self) -> ServerNames {
        ServerNames::for_service(&self.fullname(), self.namespace.name()).unwrap()
    }

    /// Serves as the guard of this release, with its service account's rights.
    fn serve(&self, runtime: &Runtime, configurations: Vec<Configuration>) -> Serving {
        let token = self.admin().run(&["create", "token", &self.fullname()]).expect_success();
        let folder = self.control_plane.folder();
        let kubeconfig = folder.join(format!("{}.kubeconfig", self.mode));
        let credentials = self.control_plane.credentials();
        credentials.write_kubeconfig(&kubeconfig, token.stdout.trim()).unwrap();
        let client = client(runtime, &kubeconfig);
        let charge = Charge {
            issuer: Issuer::Others,
            namespace: self.namespace.name().to_owned(),
            secret: format!("{}-tls", self.fullname()),
            names: self.names(),
            configurations,
            lifetimes: Lifetimes::default(),
            settle: super::SETTLE,
        };
        let slot = Arc::new(Slot::default());
        let tls = TlsAcceptor::from(Arc::new(server_config(Arc::clone(&slot)).unwrap()));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let _context = runtime.enter();
        let rotator = Rotator::new(charge, &client, client.clone(), slot);
        let tasks = [
            runtime.spawn(rotator.run(|_| {})),
            runtime.spawn(async move {
                while let Ok((tcp, _)) = listener.accept().await {
                    // A client that refuses the certificate says so itself.
                    let _ = tls.accept(tcp).await;
                }
            }),
        ];
        let name = format!("{}.{}.svc", self.fullname(), self.namespace);
        Serving { address, name, tasks }
    }

    /// Writes what cert-manager's controller writes.
    fn write_secret_as_cert_manager(&self, issued: &Material) {
        let text = |pem: &str| ByteString(pem.as_bytes().to_vec());
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": format!("{}-tls", self.fullname())},
            "type": "kubernetes.io/tls",
            "data": {
                "ca.crt": text(issued.ca_bundle()),
                "tls.crt": text(issued.identity().chain_pem()),
                "tls.key": text(issued.identity().key_pem()),
            },
        });
        self.admin().apply_server_side(&secret.to_string()).expect_success();
    }

    /// Writes what cert-manager's CA injector writes.
    fn inject_as_cert_manager(&self, issued: &Material) {
        let bundle = ByteString(issued.ca_bundle().as_bytes().to_vec());
        for kind in ["validating", "mutating"] {
            let configuration = format!("{kind}webhookconfiguration");
            let read = self.admin().get(&[&configuration, &self.fullname()]);
            let entries = 0..read["webhooks"].as_array().unwrap().len();
            let patch: Vec<_> = entries
                .map(|entry| {
                    let path = format!("/webhooks/{entry}/clientConfig/caBundle");
                    json!({"op": "add", "path": path, "value": bundle})
                })
                .collect();
            let patch = json!(patch).to_string();
            let arguments =
                ["patch", &configuration, &self.fullname(), "--type=json", "-p", &patch];
            self.admin().run(&arguments).expect_success();
        }
    }

    /// Whether the guard of this release may do that.
    fn may(&self, question: &[&str; 2]) -> bool {
        let account = format!("system:serviceaccount:{}:{}", self.namespace, self.fullname());
        let question = [&["auth", "can-i", "--as", &account], &question[..]].concat();
        self.admin().run(&question).stdout.trim() == "yes"
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        let uninstall = ["uninstall", self.mode, "--namespace", self.namespace.name(), "--wait"];
        let ran = self.control_plane.helm().run(&uninstall);
        assert!(ran.succeeded() || std::thread::panicking(), "{ran}");
    }
}

/// A server whose certificate is kept.
struct Serving {
    address: SocketAddr,
    name: String,
    tasks: [JoinHandle<()>; 2],
}

impl Serving {
    fn handshake(&self, runtime: &Runtime, bundle: &str) -> Result<(), String> {
        let mut clients = Clients::default();
        let shaken = runtime.block_on(clients.handshake(bundle, self.address, &self.name));
        shaken.map_err(|error| error.to_string())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// As much of cert-manager's kind as it takes to store one.
fn stub(plural: &str, kind: &str) -> String {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.cert-manager.io")},
        "spec": {
            "group": "cert-manager.io",
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind},
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "x-kubernetes-preserve-unknown-fields": true,
                }},
            }],
        },
    })
    .to_string()
}
