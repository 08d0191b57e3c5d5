"""Our own OPC UA certificate: made once, the same for all, renewed only on purpose, its key nowhere to be seen."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from shared.clock import ManualClock
from shared.connectors.opc_ua_application import SECRET, OpcUaApplication
from shared.errors import Unavailable
from shared.secrets.file_vault import FileVault
from shared.secrets.port import Secret


class BrokenVault(FileVault):
    """Away from now on."""

    away = False

    async def get(self, name: str) -> Secret:
        if self.away:
            raise Unavailable("The vault is away.")
        return await super().get(name)


@pytest.fixture
def vault(tmp_path: Path, clock: ManualClock) -> BrokenVault:
    return BrokenVault(tmp_path / "vault", clock)


async def test_it_is_made_once_and_kept(vault: BrokenVault, clock: ManualClock) -> None:
    first = OpcUaApplication(vault, clock)
    made = await asyncio.gather(*(first.certificate() for _ in range(5)))
    again = await OpcUaApplication(vault, clock).certificate()
    assert {one.certificate.fingerprint for one in made} == {again.certificate.fingerprint}
    assert again.application_uri == made[0].application_uri


async def test_it_is_what_opc_ua_asks_of_it(vault: BrokenVault, clock: ManualClock) -> None:
    ours = await OpcUaApplication(vault, clock).certificate()
    names = ours.loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [ours.application_uri]
    assert (
        ExtendedKeyUsageOID.CLIENT_AUTH in ours.loaded.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    )
    assert ours.private_key.key_size == 2048
    assert ours.certificate.not_before < clock.now()  # clocks of machines are behind
    assert ours.certificate.not_after == clock.now() + timedelta(days=5 * 365)


async def test_two_processes_at_the_first_moment_agree_within_ten_minutes(
    vault: BrokenVault, clock: ManualClock
) -> None:
    one, two = OpcUaApplication(vault, clock), OpcUaApplication(vault, clock)
    await asyncio.gather(one.certificate(), two.certificate())
    clock.advance(600)
    assert (await one.certificate()).certificate == (await two.certificate()).certificate


async def test_its_end_is_told_of_and_listed_by_the_vault(vault: BrokenVault, clock: ManualClock) -> None:
    application = OpcUaApplication(vault, clock)
    ours = await application.certificate()
    assert ours.warning(clock.now()) is None
    assert "expires on" in str(ours.warning(ours.certificate.not_after - timedelta(days=30)))
    assert "expired on" in str(ours.warning(ours.certificate.not_after + timedelta(days=1)))
    listed = {secret.name: secret.expires_at for secret in await vault.list()}
    assert listed == {SECRET: ours.certificate.not_after}


async def test_renewing_keeps_the_name_and_changes_the_key(vault: BrokenVault, clock: ManualClock) -> None:
    application = OpcUaApplication(vault, clock)
    before = await application.certificate()
    after = await application.renew()
    assert after.application_uri == before.application_uri
    assert after.certificate.fingerprint != before.certificate.fingerprint
    assert after.private_key.public_key() != before.private_key.public_key()
    assert (await application.certificate()).certificate == after.certificate


async def test_a_vault_that_is_away_for_a_while_stops_no_reading(vault: BrokenVault, clock: ManualClock) -> None:
    application = OpcUaApplication(vault, clock)
    ours = await application.certificate()
    vault.away = True
    clock.advance(3_600)
    assert (await application.certificate()) is ours
    with pytest.raises(Unavailable):
        await OpcUaApplication(vault, clock).certificate()


async def test_a_broken_secret_is_said_and_can_be_renewed(vault: BrokenVault, clock: ManualClock) -> None:
    await vault.set(SECRET, '{"certificate": "x", "privateKey": "geheim", "applicationUri": "urn:x"}')
    application = OpcUaApplication(vault, clock)
    with pytest.raises(Unavailable, match="is not what we wrote") as broken:
        await application.certificate()
    assert "geheim" not in broken.value.detail
    await application.renew()
    await application.certificate()


async def test_it_shows_no_key(vault: BrokenVault, clock: ManualClock) -> None:
    ours = await OpcUaApplication(vault, clock).certificate()
    assert "PRIVATE" not in repr(ours)
    assert "RSAPrivateKey" not in repr(ours)
