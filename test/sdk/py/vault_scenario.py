"""Scenarios with hvac as a program uses it: hvac.Client(), whose address and token
come from the environment.

They run with the hvac of Debian 12 (0.11) and with newer ones, and with any Python
that has one; so they are not among the tests of boto3, which are found by name.
"""

import base64
import json
import os
import unittest
import warnings

import hvac
from hvac import exceptions

CANARY = os.environ["COUNTERSIGN_TEST_CANARY"]


def plant(text):
    return f"{CANARY}/{text}"


def client(token=None):
    return hvac.Client(url=os.environ["VAULT_ADDR"], token=os.environ["VAULT_TOKEN"] if token is None else token)


class Scenario(unittest.TestCase):
    def setUp(self):
        # Newer releases warn of defaults that the next will change.
        warnings.simplefilter("ignore")
        self.vault = client()
        self.addCleanup(self.vault.adapter.close)
        self.name = "hvac-" + self.id().rsplit(".", 1)[-1].removeprefix("test_").replace("_", "-")
        self.path = self.name + "/app"
        self.kv = self.vault.secrets.kv.v2

    def same(self, got, want):
        """Compares values without printing them."""
        if got != want:
            self.fail("the value is not the one that was expected")

    def refused(self, kind, text, call, *args, **params):
        with self.assertRaises(kind) as caught:
            call(*args, **params)
        self.assertIn(text, str(caught.exception))
        self.assertNotIn(CANARY, str(caught.exception))

    def put(self, secret, path=None, **more):
        return self.kv.create_or_update_secret(path=path or self.path, secret=secret, **more)["data"]

    def read(self, version=None, path=None):
        return self.kv.read_secret_version(path=path or self.path, version=version)["data"]

    # The key-value engine.

    def test_kv2(self):
        made = self.put({"user": "admin", "password": plant("one"), "n": 7, "deep": {"list": [1, None, True]}})
        self.assertEqual((made["version"], made["destroyed"], made["deletion_time"]), (1, False, ""))
        got = self.read()
        self.same(got["data"], {"user": "admin", "password": plant("one"), "n": 7, "deep": {"list": [1, None, True]}})
        self.assertEqual(got["metadata"]["version"], 1)
        self.put({"password": plant("two")}, cas=1)
        wrong = "check-and-set parameter did not match the current version"
        self.refused(exceptions.InvalidRequest, wrong, self.put, {"password": plant("x")}, cas=1)
        self.refused(exceptions.InvalidRequest, wrong, self.put, {"password": plant("x")}, cas=0)
        self.kv.patch(path=self.path, secret={"more": plant("three")})
        self.same(self.read()["data"], {"password": plant("two"), "more": plant("three")})
        self.same(self.read(1)["data"]["password"], plant("one"))
        self.refused(exceptions.InvalidPath, "", self.read, 9)
        self.refused(exceptions.InvalidPath, "", self.read, path=self.name + "/none")
        self.refused(exceptions.InvalidPath, "", self.kv.patch, path=self.name + "/none", secret={"a": "b"})

    def test_kv2_states(self):
        for n in ("1", "2", "3"):
            self.put({"v": plant(n)})
        self.kv.delete_latest_version_of_secret(path=self.path)
        self.refused(exceptions.InvalidPath, "", self.read)
        self.kv.undelete_secret_versions(path=self.path, versions=[3])
        self.same(self.read()["data"]["v"], plant("3"))
        self.kv.delete_secret_versions(path=self.path, versions=[1, 2])
        self.refused(exceptions.InvalidPath, "", self.read, 1)
        self.kv.destroy_secret_versions(path=self.path, versions=[1])
        self.kv.undelete_secret_versions(path=self.path, versions=[1, 2])
        self.refused(exceptions.InvalidPath, "", self.read, 1)
        self.same(self.read(2)["data"]["v"], plant("2"))
        versions = self.kv.read_secret_metadata(path=self.path)["data"]["versions"]
        self.assertEqual({n: v["destroyed"] for n, v in versions.items()}, {"1": True, "2": False, "3": False})
        self.kv.delete_metadata_and_all_versions(path=self.path)
        self.refused(exceptions.InvalidPath, "", self.kv.read_secret_metadata, path=self.path)

    def test_kv2_settings(self):
        self.kv.update_metadata(path=self.path, max_versions=2, cas_required=True)
        self.refused(exceptions.InvalidRequest, "check-and-set parameter required", self.put, {"v": plant("1")})
        for n in range(4):
            self.put({"v": plant(str(n))}, cas=n)
        metadata = self.kv.read_secret_metadata(path=self.path)["data"]
        self.assertEqual((metadata["current_version"], metadata["max_versions"], sorted(metadata["versions"])), (4, 2, ["3", "4"]))
        mount = self.name + "-mount"
        self.vault.sys.enable_secrets_engine("kv", path=mount, options={"version": "2"})
        self.kv.configure(max_versions=3, cas_required=True, mount_point=mount)
        config = self.kv.read_configuration(mount_point=mount)["data"]
        self.assertEqual((config["max_versions"], config["cas_required"]), (3, True))
        self.vault.sys.disable_secrets_engine(mount)

    def test_kv2_list(self):
        for n in ("b", "a", "dir/c"):
            self.put({"v": plant(n)}, path=f"{self.name}/{n}")
        self.assertEqual(self.kv.list_secrets(path=self.name)["data"]["keys"], ["a", "b", "dir/"])
        self.assertEqual(self.vault.list(f"secret/metadata/{self.name}/dir")["data"]["keys"], ["c"])
        self.refused(exceptions.InvalidPath, "", self.kv.list_secrets, path=self.name + "/none")

    def test_kv1(self):
        kv, sys = self.vault.secrets.kv.v1, self.vault.sys
        sys.enable_secrets_engine("kv", path=self.name, description="of a scenario", options={"version": "1"})
        self.assertEqual(sys.list_mounted_secrets_engines()["data"][self.name + "/"]["options"], {"version": "1"})
        self.assertEqual(sys.retrieve_mount_option(self.name, "version"), "1")
        for value in ("one", "two"):  # the first as POST, the second as PUT
            kv.create_or_update_secret(path="app", secret={"password": plant(value)}, mount_point=self.name)
            self.same(kv.read_secret(path="app", mount_point=self.name)["data"]["password"], plant(value))
        self.assertEqual(kv.list_secrets(path="", mount_point=self.name)["data"]["keys"], ["app"])
        kv.delete_secret(path="app", mount_point=self.name)
        self.refused(exceptions.InvalidPath, "", kv.read_secret, path="app", mount_point=self.name)
        sys.disable_secrets_engine(self.name)

    def test_binary(self):
        data = base64.b64encode(CANARY.encode() + b"\0\xff").decode()
        self.put({"SecretBinary": data})
        self.same(self.read()["data"], {"SecretBinary": data})

    # The system.

    def test_mounts(self):
        sys = self.vault.sys
        sys.enable_secrets_engine("kv", path=self.name, config={"default_lease_ttl": "1h", "max_lease_ttl": "2h"}, options={"version": "2"})
        self.refused(exceptions.InvalidRequest, "path is already in use at", sys.enable_secrets_engine, "kv", path=self.name)
        sys.tune_mount_configuration(self.name, default_lease_ttl="30m", description="tuned")
        tuned = sys.read_mount_configuration(self.name)["data"]
        self.assertEqual((tuned["default_lease_ttl"], tuned["max_lease_ttl"]), (1800, 7200))
        self.kv.create_or_update_secret(path="app", secret={"v": plant("moved")}, mount_point=self.name)
        sys.move_backend(self.name, self.name + "-moved")
        moved = self.kv.read_secret_version(path="app", mount_point=self.name + "-moved")
        self.same(moved["data"]["data"]["v"], plant("moved"))
        self.kv.delete_metadata_and_all_versions(path="app", mount_point=self.name + "-moved")
        sys.disable_secrets_engine(self.name + "-moved")

        sys.enable_auth_method("approle", path=self.name, description="of a scenario")
        sys.tune_auth_method(self.name, default_lease_ttl="10m")
        self.assertEqual(sys.read_auth_method_tuning(self.name)["data"]["default_lease_ttl"], 600)
        self.assertEqual(sys.list_auth_methods()["data"][self.name + "/"]["type"], "approle")
        sys.disable_auth_method(self.name)
        self.assertNotIn(self.name + "/", sys.list_auth_methods()["data"])

    def test_status(self):
        nobody = client(token="")
        self.addCleanup(nobody.adapter.close)
        self.assertTrue(nobody.sys.is_initialized())
        self.assertFalse(nobody.sys.is_sealed())
        self.assertFalse(nobody.sys.read_leader_status()["ha_enabled"])
        self.assertEqual(nobody.sys.read_health_status(method="HEAD").status_code, 200)
        self.assertFalse(nobody.sys.read_health_status(method="GET")["sealed"])
        self.refused(exceptions.Forbidden, "missing client token", nobody.secrets.kv.v2.read_secret_version, path=self.path)
        nobody.token = "hvs.nobody"
        self.assertFalse(nobody.is_authenticated())
        self.refused(exceptions.Forbidden, "permission denied", nobody.secrets.kv.v2.read_secret_version, path=self.path)

    def test_policies(self):
        sys = self.vault.sys
        policy = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": "*"}],
        }
        sys.create_or_update_policy(self.name, policy)
        self.assertEqual(json.loads(sys.read_policy(self.name)["data"]["rules"]), policy)
        self.assertIn(self.name, sys.list_policies()["data"]["policies"])
        sys.delete_policy(self.name)
        self.refused(exceptions.InvalidPath, "", sys.read_policy, self.name)

    # Access.

    HCL = 'path "secret/data/%s/*" { capabilities = ["read"] }'

    def access(self):
        """Stores a secret and a policy to read it, both named after the test."""
        self.put({"v": plant("one")})
        self.vault.sys.create_or_update_policy(self.name, self.HCL % self.name)

    def reads(self, token, may=True):
        holder = client(token=token)
        self.addCleanup(holder.adapter.close)
        read = holder.secrets.kv.v2.read_secret_version
        if not may:
            self.refused(exceptions.Forbidden, "permission denied", read, path=self.path)
            return holder
        self.same(read(path=self.path)["data"]["data"], {"v": plant("one")})
        put = holder.secrets.kv.v2.create_or_update_secret
        self.refused(exceptions.Forbidden, "permission denied", put, path=self.path, secret={"v": plant("x")})
        return holder

    def test_policy_in_hcl(self):
        self.access()
        self.assertEqual(self.vault.sys.read_policy(self.name)["data"]["rules"], self.HCL % self.name)
        self.refused(exceptions.InvalidRequest, "", self.vault.sys.create_or_update_policy, self.name, 'path "x" {')

    def test_token(self):
        self.access()
        self.assertTrue(self.vault.is_authenticated())
        auth = self.vault.auth.token.create(policies=[self.name], ttl="1h", display_name="hvac", meta={"team": "blue"})["auth"]
        self.assertEqual((auth["lease_duration"], auth["renewable"]), (3600, True))
        holder = self.reads(auth["client_token"])
        self.assertTrue(holder.is_authenticated())
        found = holder.auth.token.lookup_self()["data"]
        self.assertEqual((found["accessor"], found["display_name"], found["meta"]), (auth["accessor"], "token-hvac", {"team": "blue"}))
        self.assertIn(auth["accessor"], self.vault.auth.token.list_accessors()["data"]["keys"])
        self.assertEqual(self.vault.auth.token.lookup_accessor(auth["accessor"])["data"]["display_name"], "token-hvac")
        self.assertEqual(holder.auth.token.renew_self(increment="30m")["auth"]["lease_duration"], 1800)
        may = self.vault.sys.get_capabilities(["secret/data/" + self.path], token=auth["client_token"])
        self.assertEqual(may["capabilities"], ["read"])
        self.vault.auth.token.revoke_accessor(auth["accessor"])
        self.reads(auth["client_token"], may=False)
        self.assertFalse(holder.is_authenticated())
        self.vault.auth.token.create_or_update_role(self.name, allowed_policies=[self.name], orphan=True)
        self.assertIn(self.name, self.vault.auth.token.list_roles()["data"]["keys"])
        made = self.vault.auth.token.create(policies=[self.name], role_name=self.name)["auth"]
        self.assertTrue(made["orphan"])
        self.reads(made["client_token"]).auth.token.revoke_self()
        self.reads(made["client_token"], may=False)

    def test_approle(self):
        self.access()
        self.vault.sys.enable_auth_method("approle", path=self.name)
        approle, at = self.vault.auth.approle, {"mount_point": self.name}
        approle.create_or_update_approle("app", token_policies=[self.name], token_ttl="20m", secret_id_num_uses=1, **at)
        self.assertEqual(approle.read_role("app", **at)["data"]["token_ttl"], 1200)
        self.assertEqual(approle.list_roles(**at)["data"]["keys"], ["app"])
        role_id = approle.read_role_id("app", **at)["data"]["role_id"]
        made = approle.generate_secret_id("app", metadata={"by": "hvac"}, **at)["data"]
        found = approle.read_secret_id("app", made["secret_id"], **at)["data"]
        self.assertEqual((found["secret_id_accessor"], found["metadata"]), (made["secret_id_accessor"], {"by": "hvac"}))
        self.assertEqual(approle.list_secret_id_accessors("app", **at)["data"]["keys"], [made["secret_id_accessor"]])
        nobody = client(token="")
        self.addCleanup(nobody.adapter.close)
        auth = nobody.auth.approle.login(role_id, made["secret_id"], **at)["auth"]
        self.assertEqual(auth["lease_duration"], 1200)
        self.reads(nobody.token)
        self.refused(exceptions.InvalidRequest, "invalid role or secret ID", nobody.auth.approle.login, role_id, made["secret_id"], **at)
        approle.delete_role("app", **at)
        self.vault.sys.disable_auth_method(self.name)

    def test_wrapping(self):
        self.access()
        auth = self.vault.auth.token.create(policies=[self.name], wrap_ttl="60s")
        self.assertEqual(auth["wrap_info"]["ttl"], 60)
        opened = client(token=auth["wrap_info"]["token"])
        self.addCleanup(opened.adapter.close)
        self.reads(opened.sys.unwrap()["auth"]["client_token"])
        wrong = "wrapping token is not valid or does not exist"
        self.refused(exceptions.InvalidRequest, wrong, self.vault.sys.unwrap, token=auth["wrap_info"]["token"])

    def test_transit(self):
        self.vault.sys.enable_secrets_engine("transit", path=self.name)
        transit, at = self.vault.secrets.transit, {"mount_point": self.name}
        transit.create_key("app", key_type="aes256-gcm96", **at)
        plain = base64.b64encode(plant("transit").encode()).decode()
        sealed = transit.encrypt_data("app", plaintext=plain, **at)["data"]["ciphertext"]
        self.same(transit.decrypt_data("app", ciphertext=sealed, **at)["data"]["plaintext"], plain)
        transit.rotate_key("app", **at)
        self.assertRegex(transit.rewrap_data("app", ciphertext=sealed, **at)["data"]["ciphertext"], "^vault:v2:")
        transit.create_key("signs", key_type="ed25519", **at)
        signature = transit.sign_data("signs", hash_input=plain, **at)["data"]["signature"]
        self.assertTrue(transit.verify_signed_data("signs", hash_input=plain, signature=signature, **at)["data"]["valid"])
        self.assertEqual(transit.list_keys(**at)["data"]["keys"], ["app", "signs"])
        self.assertEqual(transit.read_key("app", **at)["data"]["latest_version"], 2)


if __name__ == "__main__":
    unittest.main()
