//! Who may talk to the control plane, and the keys it proves itself with.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use serde_json::{Value, json};

use crate::kubelet::HostNode;

/// Everyone with a token of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// In `system:masters`: no authorization check applies.
    Admin,
    /// Has the cluster role `edit` in every namespace, and nothing cluster-scoped.
    Developer,
    /// Has the cluster role `cluster-admin`; unlike the admin, only by RBAC.
    Operator,
    /// The controller manager, which then acts as one service account per controller.
    ControllerManager,
    /// The scheduler.
    Scheduler,
    /// kwok, as a member of `system:nodes`: what it does is what kubelets do.
    Kubelets,
    /// A [`Kubelet`](crate::Kubelet), with the rights of one node and no more.
    Node(HostNode),
    /// The stand-in for the storage drivers' external-provisioner.
    Provisioner,
}

impl User {
    const ALL: [Self; 9] = [
        Self::Admin,
        Self::Developer,
        Self::Operator,
        Self::ControllerManager,
        Self::Scheduler,
        Self::Kubelets,
        Self::Node(HostNode::First),
        Self::Node(HostNode::Second),
        Self::Provisioner,
    ];

    /// The name a request of this user carries.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Developer => "developer",
            Self::Operator => "operator",
            Self::ControllerManager => "system:kube-controller-manager",
            Self::Scheduler => "system:kube-scheduler",
            Self::Kubelets => "system:node:kwok",
            Self::Node(HostNode::First) => "system:node:host-1",
            Self::Node(HostNode::Second) => "system:node:host-2",
            Self::Provisioner => "system:serviceaccount:storage-drivers:provisioner",
        }
    }

    fn groups(self) -> &'static str {
        match self {
            Self::Admin => "system:masters",
            // One kwok stands for all kubelets, and the Node authorizer lets a
            // node touch only what is its own: hence `system:masters` as well.
            Self::Kubelets => "system:nodes,system:masters",
            Self::Node(_) => "system:nodes",
            Self::Provisioner => "system:serviceaccounts,system:serviceaccounts:storage-drivers",
            Self::Developer | Self::Operator | Self::ControllerManager | Self::Scheduler => "",
        }
    }

    /// This user in the API server's table of tokens.
    fn row(self) -> String {
        let (token, name, groups) = (self.token(), self.name(), self.groups());
        format!("{token},{name},{name},\"{groups}\"")
    }

    /// Also the name of this user's kubeconfig. No secret: whoever can reach the
    /// loopback network of a test machine may have it.
    fn token(self) -> String {
        self.name().replace(':', "-")
    }
}

/// The files of one control plane's keys, certificates and kubeconfigs.
#[derive(Debug)]
pub struct Credentials {
    folder: PathBuf,
    server: String,
}

impl Credentials {
    /// Writes them all into `folder`, for processes that listen on `address`,
    /// the API server among them on `port`.
    pub fn issue(folder: &Path, address: Ipv4Addr, port: u16) -> Result<Self> {
        let folder = folder.join("credentials");
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let credentials = Self { folder, server: format!("https://{address}:{port}") };
        credentials.issue_certificate(address)?;
        credentials.issue_service_account_key()?;
        credentials.write_users()?;
        Ok(credentials)
    }

    /// The API server's URL.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The CA that every component's certificate is checked against.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// The certificate every component serves with.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("tls.crt")
    }

    /// The key of [`Credentials::certificate`].
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.folder.join("tls.key")
    }

    /// The key that service account tokens are signed with.
    #[must_use]
    pub fn service_account_key(&self) -> PathBuf {
        self.folder.join("service-account.key")
    }

    /// The public half of [`Credentials::service_account_key`].
    #[must_use]
    pub fn service_account_public_key(&self) -> PathBuf {
        self.folder.join("service-account.pub")
    }

    /// The API server's table of tokens.
    #[must_use]
    pub fn tokens(&self) -> PathBuf {
        self.folder.join("tokens.csv")
    }

    /// What `user` authenticates with.
    #[must_use]
    pub fn kubeconfig(&self, user: User) -> PathBuf {
        self.folder.join(format!("{}.kubeconfig", user.token()))
    }

    /// The settings of a client in this process.
    pub async fn client_config(&self, user: User) -> Result<kube::Config> {
        let path = self.kubeconfig(user);
        let kubeconfig =
            Kubeconfig::read_from(&path).with_context(|| format!("reading {}", path.display()))?;
        kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .with_context(|| format!("using {}", path.display()))
    }

    /// Writes a kubeconfig for a token from elsewhere, such as a service account's.
    pub fn write_kubeconfig(&self, path: &Path, token: &str) -> Result<()> {
        let user = json!({"token": token});
        write(path, &kubeconfig(&self.server, &self.ca(), &user).to_string())
    }

    fn issue_certificate(&self, address: Ipv4Addr) -> Result<()> {
        let mut ca = CertificateParams::default();
        ca.distinguished_name.push(DnType::CommonName, "test control plane");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca_key = KeyPair::generate().context("generating the CA's key")?;
        let ca_certificate = ca.self_signed(&ca_key).context("signing the CA")?;
        write(&self.ca(), &ca_certificate.pem())?;

        let mut leaf = CertificateParams::default();
        leaf.distinguished_name.push(DnType::CommonName, "control plane component");
        leaf.subject_alt_names = vec![SanType::IpAddress(address.into())];
        let key = KeyPair::generate().context("generating the components' key")?;
        let certificate = leaf
            .signed_by(&key, &Issuer::new(ca, ca_key))
            .context("signing the components' certificate")?;
        write(&self.certificate(), &certificate.pem())?;
        write(&self.key(), &key.serialize_pem())
    }

    fn issue_service_account_key(&self) -> Result<()> {
        let key = KeyPair::generate().context("generating the service account key")?;
        write(&self.service_account_key(), &key.serialize_pem())?;
        write(&self.service_account_public_key(), &key.public_key_pem())
    }

    fn write_users(&self) -> Result<()> {
        for user in User::ALL {
            self.write_kubeconfig(&self.kubeconfig(user), &user.token())?;
        }
        write(&self.tokens(), &User::ALL.map(User::row).join("\n"))
    }
}

/// A kubeconfig for that user of the API server at that URL.
pub(crate) fn kubeconfig(server: &str, ca: &Path, user: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "test",
            "cluster": {"server": server, "certificate-authority": ca},
        }],
        "users": [{"name": "test", "user": user}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    })
}

fn write(path: &Path, content: &str) -> Result<()> {
    fs::write(path, content).with_context(|| format!("writing {}", path.display()))
}
