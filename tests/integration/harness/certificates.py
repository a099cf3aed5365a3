# SPDX-License-Identifier: Apache-2.0
"""Authorities and certificates of one's own, made by openssl."""
import subprocess


def openssl(*words, folder):
    done = subprocess.run(["openssl", *map(str, words)], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Authority:
    """ca.pem in a folder, and what it has signed."""

    def __init__(self, folder, name="authority"):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                "-keyout", "ca.key", "-out", "ca.pem", folder=folder)

    @property
    def ca(self):
        return self.folder / "ca.pem"

    def sign(self, stem, names, *, begins=None, ends=None, encrypted=False):
        """(certificate, key) for "DNS:a" and "IP:1.2.3.4"; begins, ends: 14 digits and Z."""
        self._request(stem, encrypted)
        (self.folder / f"{stem}.ext").write_text("subjectAltName=" + ",".join(names) + "\n", encoding="ascii")
        if begins is None:
            openssl("x509", "-req", "-in", f"{stem}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                    "-extfile", f"{stem}.ext", "-out", f"{stem}.pem", folder=self.folder)
        else:
            self._sign_between(stem, begins, ends)
        return self.folder / f"{stem}.pem", self.folder / f"{stem}.key"

    def _request(self, stem, encrypted):
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", f"{stem}.key",
                *(["-aes256", "-pass", "pass:open"] if encrypted else []), folder=self.folder)
        openssl("req", "-new", "-key", f"{stem}.key", "-passin", "pass:open", "-subj", f"/CN={stem}", "-out", f"{stem}.csr", folder=self.folder)

    def _sign_between(self, stem, begins, ends):
        (self.folder / "index.txt").write_text("", encoding="ascii")
        (self.folder / "serial.txt").write_text("1000\n", encoding="ascii")
        (self.folder / "ca.conf").write_text(
            "[ca]\ndefault_ca=a\n[a]\ndatabase=index.txt\nserial=serial.txt\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\n"
            "certificate=ca.pem\nprivate_key=ca.key\nunique_subject=no\n[p]\ncommonName=supplied\n", encoding="ascii")
        openssl("ca", "-batch", "-config", "ca.conf", "-startdate", begins, "-enddate", ends, "-extfile", f"{stem}.ext",
                "-in", f"{stem}.csr", "-out", f"{stem}.pem", "-notext", folder=self.folder)
