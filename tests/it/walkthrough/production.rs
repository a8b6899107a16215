//! Runs the installation of a node. A folder takes the place of the root of the machine, and functions of
//! the shell take the place of systemd and of the package manager. nginx is real.

use std::{fs, os::unix::net::UnixDatagram};

use super::{commands, page, place::Place};

const MACHINE: &str = include_str!("../../data/walkthrough/production.sh");

/// The page, and the page that tells how to restore a backup.
const PAGE: &str = "docs/operate/production.md";

/// Moves all paths below the folder, and replaces the ports that only root may use.
fn moved(place: &Place, text: &str) -> String {
    let (root, proxy) = (place.root(), place.other);
    // A path of the machine stands at the beginning of a word or behind a colon or an equals sign.
    let moved = [" ", ":", "="].iter().fold(text.to_owned(), |text, before| {
        ["/etc/", "/usr/bin/", "/var/"].iter().fold(text, |text, path| {
            text.replace(&format!("{before}{path}"), &format!("{before}{root}{path}"))
        })
    });
    place
        .with_own_addresses(&moved)
        .replace("\"/var/", &format!("\"{root}/var/"))
        .replace("https://tx.example", &format!("https://localhost:{proxy}"))
        .replace("listen 443 ", &format!("listen 127.0.0.1:{proxy} "))
}

#[actix_web::test]
async fn the_commands_of_an_installation_work() {
    let place = Place::new().await;
    place.certify("etc/ssl/tx.example/fullchain");
    let certificates = place.path("etc/ssl/tx.example");
    fs::rename(certificates.join("fullchain.key"), certificates.join("privkey.pem"))
        .expect("a key");
    // The files that the page copies from the sources.
    for folder in ["systemd", "target/release"] {
        fs::create_dir_all(place.path(folder)).expect("a folder");
    }
    let unit = moved(&place, include_str!("../../../systemd/ssfd.service"));
    fs::write(place.path("systemd/ssfd.service"), unit).expect("written");
    let program = place.path("target/release/ssfd");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ssfd"), program).expect("a link");
    let notifications = UnixDatagram::bind(place.path("notify")).expect("a socket");
    notifications.set_nonblocking(true).expect("a socket of ours");

    let commands = moved(&place, &commands(&page(PAGE)).concat());
    let variables = [("INTERNAL", place.internal.to_string())];
    let said = place.run(format!("{MACHINE}\nset -x\n{commands}\nset +x\n"), &variables).await;

    for expected in ["\"ready\":true", "  verification  ", "verified RS256", "restored from"] {
        assert!(said.contains(expected), "no {expected} in\n{said}");
    }
    let mut notification = [0; 1024];
    let bytes = notifications.recv(&mut notification).expect("the daemon told that it is ready");
    let notification = String::from_utf8_lossy(&notification[..bytes]).into_owned();
    assert!(notification.contains("READY=1"), "{notification}");
}
