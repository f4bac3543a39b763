"""TLS and mutual TLS, with certificates made for the test."""

import datetime
import ipaddress

import models
import numpy as np
import pytest
import tritonclient.grpc as triton
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


class Authority:
    """A certificate authority that writes what it issues into a folder."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self.builder(self.subject, self.key).add_extension(x509.BasicConstraints(True, None), critical=True)
        self.certificate = self.write(name, builder, self.key)[0]

    def builder(self, subject, key):
        now = datetime.datetime.now(datetime.timezone.utc)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
        )

    def issue(self, name, usage):
        """A certificate for the loopback interface: the paths of certificate and key."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = self.builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key)
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(x509.BasicConstraints(False, None), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        return self.write(f"{self.name}-{name}", builder, key)

    def version_1(self):
        """The authority's own certificate as `openssl x509 -req` makes it: of version 1, so without extensions."""
        with open(self.certificate, "rb") as file:
            whole = x509.load_pem_x509_certificate(file.read())
        fields = elements(elements(whole.tbs_certificate_bytes)[0][1])
        algorithm = der(*fields[2])
        # The version is [0] and the extensions are [3].
        content = der(0x30, *(der(*field) for field in fields if field[0] not in (0xA0, 0xA3)))
        signature = der(0x03, b"\0", self.key.sign(content, ec.ECDSA(hashes.SHA256())))
        made = x509.load_der_x509_certificate(der(0x30, content, algorithm, signature))
        assert made.version == x509.Version.v1
        path = self.folder / f"{self.name}-1.crt"
        path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        return path

    def write(self, name, builder, key):
        certificate, secret = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        certificate.write_bytes(builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return str(certificate), str(secret)


def der(tag, *parts):
    """An element in DER."""
    content = b"".join(parts)
    length = len(content).to_bytes(4, "big").lstrip(b"\0")
    return bytes([tag, *([0x80 + len(length)] if len(content) >= 0x80 else []), *(length or b"\0")]) + content


def elements(data):
    """The elements that bytes in DER consist of: tags and contents."""
    found = []
    while data:
        tag, length, start = data[0], data[1], 2
        if length >= 0x80:
            start += length - 0x80
            length = int.from_bytes(data[2:start], "big")
        found.append((tag, data[start : start + length]))
        data = data[start + length :]
    return found


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path, "authority")


@pytest.fixture
def start(serve, repository, authority):
    """Starts a daemon with TLS, and with mutual TLS if asked to."""
    repository.add("echo", models.identity("FP32", ["b", 4]))
    certificate, key = authority.issue("server", ExtendedKeyUsageOID.SERVER_AUTH)

    def start(mutual):
        mode = "--grpc-use-ssl-mutual=true" if mutual else "--grpc-use-ssl=true"
        flags = [mode, f"--grpc-server-cert={certificate}", f"--grpc-server-key={key}"]
        return serve(repository, *flags, f"--grpc-root-cert={authority.certificate}")

    return start


def echo(url, **credentials):
    """One request through a client of its own."""
    array = np.arange(4, dtype=np.float32).reshape(1, 4)
    with triton.InferenceServerClient(url, **credentials) as client:
        inputs = [triton.InferInput("INPUT0", [1, 4], "FP32").set_data_from_numpy(array)]
        answer = client.infer("echo", inputs, client_timeout=10)
        np.testing.assert_array_equal(answer.as_numpy("OUTPUT0"), array)


def test_a_client_that_trusts_the_authority_is_served(start, authority):
    echo(start(mutual=False).url, ssl=True, root_certificates=authority.certificate)


def test_a_client_that_trusts_another_authority_or_speaks_plainly_is_not_served(start, tmp_path):
    url = start(mutual=False).url
    with pytest.raises(triton.InferenceServerException):
        echo(url, ssl=True, root_certificates=Authority(tmp_path, "stranger").certificate)
    with pytest.raises(triton.InferenceServerException):
        echo(url)


def test_mutual_tls_serves_only_clients_with_a_certificate_of_the_authority(start, authority, tmp_path):
    url = start(mutual=True).url
    trust = {"ssl": True, "root_certificates": authority.certificate}
    chain, key = authority.issue("client", ExtendedKeyUsageOID.CLIENT_AUTH)
    echo(url, **trust, certificate_chain=chain, private_key=key)
    with pytest.raises(triton.InferenceServerException):
        echo(url, **trust)
    chain, key = Authority(tmp_path, "stranger").issue("client", ExtendedKeyUsageOID.CLIENT_AUTH)
    with pytest.raises(triton.InferenceServerException):
        echo(url, **trust, certificate_chain=chain, private_key=key)


def test_a_certificate_that_cannot_be_read_stops_the_daemon_with_its_path(serve, repository, tmp_path):
    missing = tmp_path / "missing.crt"
    daemon = serve(
        repository, "--grpc-use-ssl=true", f"--grpc-server-cert={missing}", f"--grpc-server-key={missing}", wait=False
    )
    assert daemon.wait_exit() not in (0, None)
    told = [line for line in daemon.log_text().splitlines() if str(missing) in line]
    assert sum(line.count("No such file") for line in told) == 1, told
    assert str(missing) in daemon.log_text()


def test_a_server_certificate_of_version_1_is_served(serve, repository, tmp_path):
    repository.add("echo", models.identity("FP32", ["b", 4]))
    authority = Authority(tmp_path, "localhost")
    certificate = authority.version_1()
    key = tmp_path / "localhost.key"
    daemon = serve(repository, "--grpc-use-ssl=true", f"--grpc-server-cert={certificate}", f"--grpc-server-key={key}")
    echo(f"localhost:{daemon.grpc_port}", ssl=True, root_certificates=str(certificate))
