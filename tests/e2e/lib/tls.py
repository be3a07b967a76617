"""Certificates made for a test, and who shows which."""

import os
import subprocess


def _openssl(*words):
    done = subprocess.run(["openssl", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, "openssl %s: %s" % (" ".join(words), done.stdout.decode())


class Identity:
    """A certificate, its key, and the CA that is trusted with it."""

    def __init__(self, ca, cert, key):
        self.ca, self.cert, self.key = ca, cert, key

    def lines(self, **more):
        """For redis.conf and sentinel.conf; more: tls_auth_clients="no" and the like."""
        lines = ["tls-cert-file " + self.cert, "tls-key-file " + self.key,
                 "tls-ca-cert-file " + self.ca, "tls-replication yes"]
        return lines + ["%s %s" % (name.replace("_", "-"), value) for name, value in more.items()]

    def options(self):
        """For redis-py."""
        return {"ssl": True, "ssl_ca_certs": self.ca, "ssl_certfile": self.cert,
                "ssl_keyfile": self.key, "ssl_check_hostname": False}


class Authority:
    """A CA in a folder of its own. Elliptic curves: quick on a busy machine."""

    def __init__(self, directory, name="ca"):
        os.makedirs(directory, exist_ok=True)
        self.directory = directory
        self.cert, self.key = self._path(name + ".crt"), self._path(name + ".key")
        self.serial = 1000
        self._key(self.key)
        _openssl("req", "-x509", "-new", "-key", self.key, "-out", self.cert, "-days", "30",
                 "-subj", "/O=vedette test/CN=" + name)

    def _path(self, name):
        return os.path.join(self.directory, name)

    @staticmethod
    def _key(path, rsa=None):
        if rsa:
            _openssl("genrsa", "-out", path, str(rsa))
        else:
            _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path)

    def issue(self, name, rsa=None):
        """An Identity; its certificate's serial is self.serial. Replaces an earlier one of that
        name, as two renames. rsa: bits of an RSA key, which costs the server dearly."""
        self.serial += 1
        cert, key, request = (self._path(name + suffix) for suffix in (".crt", ".key", ".csr"))
        self._key(key + ".new", rsa)
        _openssl("req", "-new", "-key", key + ".new", "-out", request,
                 "-subj", "/O=vedette test/CN=" + name)
        _openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key,
                 "-set_serial", str(self.serial), "-days", "30", "-out", cert + ".new")
        os.rename(key + ".new", key)
        os.rename(cert + ".new", cert)
        return Identity(self.cert, cert, key)

    def encrypt(self, identity, password):
        """The same Identity with its key behind a password."""
        path = identity.key + ".locked"
        _openssl("ec", "-in", identity.key, "-aes256", "-passout", "pass:" + password,
                 "-out", path)
        return Identity(identity.ca, identity.cert, path)
