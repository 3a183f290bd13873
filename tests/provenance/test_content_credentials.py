"""Signing with a chain that is made here and thrown away, read back by the library's own reader."""

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from alrl_jax.commands import sign_image
from alrl_jax.commands.verify_image import verify
from alrl_jax.errors import UserError
from alrl_jax.provenance import content_credentials, image_metadata
from tests.provenance.test_watermark import scene
from tests.support.commands import run_command


def make_chain(folder: Path) -> tuple[Path, Path]:
    """Certificates (signer, then root) and the signer's key, as PEM files."""
    pytest.importorskip("c2pa")
    pytest.importorskip("cryptography")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def name(text: str) -> Any:
        parts = ((NameOID.COMMON_NAME, text), (NameOID.ORGANIZATION_NAME, "Throw-away test"))
        return x509.Name([x509.NameAttribute(*part) for part in parts])

    def usage(signs_certificates: bool) -> Any:
        fields = ("digital_signature", "content_commitment", "key_encipherment", "key_agreement")
        fields += ("data_encipherment", "encipher_only", "decipher_only", "key_cert_sign")
        values = dict.fromkeys((*fields, "crl_sign"), False)
        chosen = "key_cert_sign" if signs_certificates else "digital_signature"
        return x509.KeyUsage(**{**values, chosen: True})

    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    now = datetime.datetime.now(datetime.UTC)

    def certificate(subject: str, public: Any, is_root: bool) -> Any:
        builder = x509.CertificateBuilder(
            issuer_name=name("root"),
            subject_name=name(subject),
            public_key=public,
            serial_number=x509.random_serial_number(),
            not_valid_before=now - datetime.timedelta(days=1),
            not_valid_after=now + datetime.timedelta(days=30),
        )
        identifier = x509.SubjectKeyIdentifier.from_public_key
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key())
        constraints = x509.BasicConstraints(ca=is_root, path_length=None)
        builder = builder.add_extension(constraints, critical=True)
        builder = builder.add_extension(usage(is_root), critical=True)
        builder = builder.add_extension(identifier(public), critical=False)
        builder = builder.add_extension(issuer, critical=False)
        if not is_root:
            purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
            builder = builder.add_extension(purpose, critical=False)
        return builder.sign(root_key, hashes.SHA256())

    chain = [certificate("signer", key.public_key(), False)]
    chain.append(certificate("root", root_key.public_key(), True))
    pem = serialization.Encoding.PEM
    (folder / "chain.pem").write_bytes(b"".join(c.public_bytes(pem) for c in chain))
    plain = serialization.NoEncryption()
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    (folder / "key.pem").write_bytes(secret)
    return folder / "chain.pem", folder / "key.pem"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A target and an output made from it."""
    Image.fromarray(scene(64, 80)).save(tmp_path / "target.jpg")
    fields = image_metadata.metadata("0123abcd" * 8)
    image_metadata.write_png(tmp_path / "made.png", scene(64, 80, 1), fields)
    return tmp_path / "target.jpg", tmp_path / "made.png"


def test_signed_output_names_its_parent(files: tuple[Path, Path], tmp_path: Path) -> None:
    chain, key = make_chain(tmp_path)
    target, made = files
    content_credentials.sign(made, target, tmp_path / "signed.png", chain, key, "es256")
    read = verify(tmp_path / "signed.png")
    assert read["metadata"]["modelSHA256"] == "0123abcd" * 8
    found = read["c2pa"]
    assert found["state"] == "Valid" and found["signer"]["common_name"] == "signer"
    assert found["parents"] == ["target.jpg"] and found["manifests"] == 1
    edited = {"action": "c2pa.edited", "digitalSourceType": image_metadata.DIGITAL_SOURCE_TYPE}
    assert edited in found["actions"]
    with Image.open(made) as before, Image.open(tmp_path / "signed.png") as after:
        np.testing.assert_array_equal(np.asarray(before), np.asarray(after))
    assert verify(made)["c2pa"] is None


def test_credentials_of_the_target_are_kept(files: tuple[Path, Path], tmp_path: Path) -> None:
    chain, key = make_chain(tmp_path)
    target, made = files
    content_credentials.sign(made, target, tmp_path / "first.png", chain, key, "es256")
    again = tmp_path / "again.png"
    content_credentials.sign(made, tmp_path / "first.png", again, chain, key, "es256")
    found = content_credentials.read(again)
    assert found is not None and found["state"] == "Valid"
    assert found["parents"] == ["first.png"] and found["manifests"] == 2


def test_the_content_of_an_image_says_what_it_is(files: tuple[Path, Path], tmp_path: Path) -> None:
    chain, key = make_chain(tmp_path)
    target, made = files
    odd = target.rename(tmp_path / "target.png")  # a JPEG
    content_credentials.sign(made, odd, tmp_path / "signed.png", chain, key, "es256")
    found = content_credentials.read((tmp_path / "signed.png").rename(tmp_path / "signed"))
    assert found is not None and found["state"] == "Valid"


def test_outputs_of_signing_are_checked(files: tuple[Path, Path], tmp_path: Path) -> None:
    target, made = files
    sign_image.check_output(tmp_path / "signed.png", made, target)
    for name, message in (
        ("signed.jpg", "in PNG; expected a suffix"),
        ("made.png", "which is --picture"),
        ("target.jpg", "which is --target"),
    ):
        with pytest.raises(UserError, match=message):
            sign_image.check_output(tmp_path / name, made, target)


def test_changed_pixels_are_seen(files: tuple[Path, Path], tmp_path: Path) -> None:
    chain, key = make_chain(tmp_path)
    target, made = files
    signed = tmp_path / "signed.png"
    content_credentials.sign(made, target, signed, chain, key, "es256")
    data = bytearray(signed.read_bytes())
    data[data.rindex(b"IDAT") + 40] ^= 1
    (tmp_path / "changed.png").write_bytes(data)
    found = content_credentials.read(tmp_path / "changed.png")
    assert found is not None and found["state"] == "Invalid" and found["problems"]


def test_bad_keys_are_the_users_mistake(files: tuple[Path, Path], tmp_path: Path) -> None:
    chain, key = make_chain(tmp_path)
    key.write_text("no key")
    with pytest.raises(UserError, match="C2PA refuses"):
        content_credentials.sign(files[1], files[0], tmp_path / "s.png", chain, key, "es256")
    assert not (tmp_path / "s.png").exists() and not list(tmp_path.glob(".*tmp"))


def test_without_the_extra(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "c2pa", None)
    assert content_credentials.read(files[1]) is None
    with pytest.raises(UserError, match=r"alrl_jax\[c2pa\]"):
        content_credentials.sign(files[1], files[0], tmp_path / "s.png", *files, "es256")


def arguments_of_signing(files: tuple[Path, Path], folder: Path) -> dict[str, Path]:
    target, made = files
    names = {"certificates": folder / "chain.pem", "key": folder / "key.pem"}
    return {"picture": made, "target": target, "output": folder / "signed.png", **names}


def test_the_command_signs(
    files: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_chain(tmp_path)
    given = arguments_of_signing(files, tmp_path)
    lines = [f"--{name}={path}" for name, path in given.items()]
    status, known = run_command(monkeypatch, sign_image, *lines)
    assert status == 0 and capsys.readouterr().out == f"{given['output']}\n"
    found = content_credentials.read(given["output"])
    assert found is not None and found["state"] == "Valid" and found["parents"] == ["target.jpg"]

    passed: list[dict[str, Any]] = []
    monkeypatch.setattr(content_credentials, "sign", lambda **values: passed.append(values))
    assert run_command(monkeypatch, sign_image, *lines, "--algorithm=ed25519")[0] == 0
    assert passed == [given | {"algorithm": "ed25519"}]
    own = {flag.name for flag in known.get_key_flags_for_module("alrl_jax.commands.sign_image")}
    assert own == set(passed[0]), "each flag is passed on"


def test_mistakes_of_signing_are_refused(
    files: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("chain.pem", "key.pem"):
        (tmp_path / name).write_text("")
    given = {n: str(path) for n, path in arguments_of_signing(files, tmp_path).items()}
    none = str(tmp_path / "none")
    mistakes = [(given | {name: none}, f"--{name}={none}") for name in given if name != "output"]
    mistakes += [({k: v for k, v in given.items() if k != name}, name) for name in given]
    mistakes += [(given | {"algorithm": "rot13"}, "rot13"), (given | {"output": none}, "suffix")]
    for values, word in mistakes:
        lines = [f"--{name}={value}" for name, value in values.items()]
        assert run_command(monkeypatch, sign_image, *lines)[0] == 2
        said = capsys.readouterr().err
        assert word in said and said.count("\n") == 1
    assert not (tmp_path / "signed.png").exists()
