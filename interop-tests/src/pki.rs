//! An authority of the test's own, and certificates for the hosts of its site.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, SanType,
};
use tempfile::TempDir;

use crate::Result;

/// An authority. Its files are gone on drop.
#[derive(Debug)]
pub struct Pki {
    issuer: Issuer<'static, KeyPair>,
    authority: PathBuf,
    dir: TempDir,
}

/// A certificate with its key, PEM.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Pki {
    /// A new authority.
    ///
    /// # Panics
    /// When its files cannot be written.
    pub fn new() -> Self {
        Self::make().expect("an authority")
    }

    fn make() -> Result<Self> {
        let dir = TempDir::new()?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        name(&mut params, "authority of a test");
        let authority = dir.path().join("ca.pem");
        std::fs::write(&authority, params.self_signed(&key)?.pem())?;
        Ok(Self {
            issuer: Issuer::new(params, key),
            authority,
            dir,
        })
    }

    /// Its own certificate, PEM.
    pub fn authority(&self) -> &Path {
        &self.authority
    }

    /// A certificate for a host.
    ///
    /// # Errors
    /// When its files cannot be written.
    pub fn issue(&self, host: IpAddr) -> Result<Pair> {
        let (params, key) = leaf(host)?;
        self.sign(&host.to_string(), &params, &key)
    }

    /// A certificate for a name of DNS.
    ///
    /// # Errors
    /// When its files cannot be written.
    pub fn issue_for_name(&self, host: &str) -> Result<Pair> {
        let mut params = CertificateParams::new(vec![host.to_owned()])?;
        name(&mut params, host);
        self.sign(host, &params, &KeyPair::generate()?)
    }

    /// A certificate for a host that has expired long ago.
    ///
    /// # Errors
    /// When its files cannot be written.
    pub fn issue_expired(&self, host: IpAddr) -> Result<Pair> {
        let (mut params, key) = leaf(host)?;
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2020, 2, 1);
        self.sign(&format!("{host}-expired"), &params, &key)
    }

    /// A certificate for a host that ends with this year; it takes the place of an earlier one in its files.
    ///
    /// # Errors
    /// When its files cannot be written.
    pub fn issue_until(&self, host: IpAddr, year: i32) -> Result<Pair> {
        let (mut params, key) = leaf(host)?;
        params.not_after = rcgen::date_time_ymd(year, 12, 31);
        self.sign(&host.to_string(), &params, &key)
    }

    fn sign(&self, name: &str, params: &CertificateParams, key: &KeyPair) -> Result<Pair> {
        let pair = Pair {
            certificate: self.dir.path().join(format!("{name}.pem")),
            key: self.dir.path().join(format!("{name}.key")),
        };
        std::fs::write(
            &pair.certificate,
            params.signed_by(key, &self.issuer)?.pem(),
        )?;
        std::fs::write(&pair.key, key.serialize_pem())?;
        Ok(pair)
    }
}

fn leaf(host: IpAddr) -> Result<(CertificateParams, KeyPair)> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.subject_alt_names.push(SanType::IpAddress(host));
    name(&mut params, &host.to_string());
    Ok((params, KeyPair::generate()?))
}

/// OpenSSL takes a certificate whose subject is its issuer's for one that has signed itself.
fn name(params: &mut CertificateParams, common: &str) {
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common);
}

impl Default for Pki {
    fn default() -> Self {
        Self::new()
    }
}
