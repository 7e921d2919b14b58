// SPDX-License-Identifier: Apache-2.0
//! TLS with what is in the files when a connection is made.

use std::path::Path;
use std::sync::{Arc, Mutex};

use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use crate::constants as shared;
use crate::engine::lock;
use crate::error::{Code, StatusError};
use crate::security::Given;

/// While the files cannot be used, such as in the middle of a change, what they held before counts.
#[derive(Debug, Clone)]
pub(crate) struct TlsFiles {
    given: Arc<Given>,
    good: Arc<Mutex<ClientTlsConfig>>,
}

impl TlsFiles {
    /// None: no CA is given.
    pub fn open(given: &Given) -> Result<Option<Self>, StatusError> {
        if given.tls_ca.is_none() {
            return Ok(None);
        }
        let config = read(given).map_err(|why| StatusError::new(Code::InvalidArgument, why))?;
        Ok(Some(TlsFiles { given: Arc::new(given.clone()), good: Arc::new(Mutex::new(config)) }))
    }

    pub fn current(&self) -> ClientTlsConfig {
        let read = read(&self.given);
        let mut good = lock(&self.good);
        if let Ok(config) = read {
            *good = config;
        }
        good.clone()
    }
}

fn read(given: &Given) -> Result<ClientTlsConfig, String> {
    let mut config = ClientTlsConfig::new();
    let ca = given.tls_ca.as_deref().unwrap_or(Path::new(shared::TLS_CA_SYSTEM));
    if ca == Path::new(shared::TLS_CA_SYSTEM) {
        config = config.with_native_roots();
    } else {
        let pem = pem("tls_ca", ca, "CERTIFICATE")?;
        config = config.ca_certificate(Certificate::from_pem(pem));
    }
    if let (Some(cert), Some(key)) = (&given.tls_cert, &given.tls_key) {
        let cert = pem("tls_cert", cert, "CERTIFICATE")?;
        let key = pem("tls_key", key, "PRIVATE KEY")?;
        config = config.identity(Identity::from_pem(cert, key));
    }
    if let Some(name) = &given.tls_server_name {
        config = config.domain_name(name.clone());
    }
    check(&config).map_err(|why| {
        let paths = [Some(ca), given.tls_cert.as_deref(), given.tls_key.as_deref()];
        let paths: Vec<_> =
            paths.into_iter().flatten().map(|path| path.display().to_string()).collect();
        format!("tls_ca, tls_cert and tls_key ({}): {why}", paths.join(", "))
    })?;
    Ok(config)
}

fn pem(option: &str, path: &Path, what: &str) -> Result<Vec<u8>, String> {
    let told = |why: &dyn std::fmt::Display| format!("{option}: {}: {why}", path.display());
    let pem = std::fs::read(path).map_err(|error| told(&error))?;
    let text = String::from_utf8_lossy(&pem);
    let has_one = text.lines().any(|line| {
        line.strip_prefix("-----BEGIN ")
            .is_some_and(|rest| rest.trim_end().ends_with(&format!("{what}-----")))
    });
    if !has_one {
        return Err(told(&format!("there is no {what} in PEM form in it")));
    }
    Ok(pem)
}

// The library reads them when an endpoint is made.
fn check(config: &ClientTlsConfig) -> Result<(), String> {
    let endpoint = Endpoint::from_static("https://localhost:1");
    match endpoint.tls_config(config.clone()) {
        Ok(_) => Ok(()),
        Err(error) => Err(crate::engine::whole(&error)),
    }
}
