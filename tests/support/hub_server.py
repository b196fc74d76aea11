"""As much of the Hugging Face hub's HTTP as huggingface_hub needs: repositories, branches, LFS, commits, files.

One per test, on 127.0.0.1. What it holds: `repos[ID][BRANCH]` is a commit's hash, `commits[HASH]` its files.
"""

import base64
import hashlib
import json
from http.server import BaseHTTPRequestHandler
from typing import Any


class HubHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def log_message(self, format: str, *args: Any) -> None: ...

    @property
    def hub(self) -> "Hub":
        return self.server.files

    def do_HEAD(self) -> None:
        self._read()

    def do_GET(self) -> None:
        self._read()

    def do_PUT(self) -> None:
        content = self._body()
        self.hub.objects[hashlib.sha256(content).hexdigest()] = content
        self._answer(200, b"")

    def do_POST(self) -> None:
        body = self._body()
        path = self.path.partition("?")[0]
        self.hub.asked.append((self.command, path, dict(self.headers.items())))
        if path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            self._json({"error": "Invalid username or password."}, 401)
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        elif path.endswith("/info/lfs/objects/batch"):
            self._batch(json.loads(body))
        else:
            _, _, _, owner, name, verb, revision = path.split("/")
            self._change(f"{owner}/{name}", verb, revision, body)

    def _create(self, asked: dict[str, Any]) -> None:
        repo = f"{asked['organization']}/{asked['name']}"
        known = repo in self.hub.repos
        address = {"url": f"{self.hub.address}/{repo}"}
        if self.hub.refuse:
            self._json({"error": f"You spent it all, {self.hub.token}"}, 402)
        elif known:
            self._json({"error": "You already created this model repo", **address}, 409)
        else:
            self.hub.repos[repo] = {"main": self.hub.commit({})}
            self.hub.visibility[repo] = asked.get("visibility") or asked.get("private")
            self._json(address)

    def _batch(self, asked: dict[str, Any]) -> None:
        objects = [
            {
                **each,
                "actions": {"upload": {"href": f"{self.hub.address}/lfs/{each['oid']}"}},
            }
            for each in asked["objects"]
        ]
        self._json({"transfer": "basic", "objects": objects})

    def _change(self, repo: str, verb: str, revision: str, body: bytes) -> None:
        branches = self.hub.repos[repo]
        if verb == "branch":
            known = revision in branches
            branches.setdefault(revision, branches["main"])
            self._json(
                {"error": "Reference already exists"} if known else {}, 409 if known else 200
            )
        elif verb == "preupload":
            files = [
                {
                    "path": each["path"],
                    "uploadMode": "lfs" if each["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for each in json.loads(body)["files"]
            ]
            self._json({"files": files})
        else:
            assert verb == "commit"
            files = dict(self.hub.commits[branches[revision]])
            for line in body.splitlines():
                entry = json.loads(line)
                value = entry["value"]
                if entry["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif entry["key"] == "lfsFile":
                    files[value["path"]] = self.hub.objects[value["oid"]]
            branches[revision] = self.hub.commit(files)
            done = {"commitUrl": f"{self.hub.address}/{repo}/commit/{branches[revision]}"}
            self._json({**done, "commitOid": branches[revision]})

    def _read(self) -> None:
        path = self.path.partition("?")[0]
        self.hub.asked.append((self.command, path, dict(self.headers.items())))
        parts = path.strip("/").split("/", 4)
        if parts[0] == "cdn":
            self._answer(200, self.hub.objects[parts[1]])
            return
        if parts[0] == "api":
            self._answer(404, b"", {"X-Error-Code": "RepoNotFound"})
            return
        repo, revision, name = "/".join(parts[:2]), parts[3], parts[4]
        if repo not in self.hub.repos:
            self._answer(404, b"", {"X-Error-Code": "RepoNotFound"})
            return
        commit = self.hub.repos[repo].get(revision, revision)
        if commit not in self.hub.commits:
            self._answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
            return
        about = {"X-Repo-Commit": commit}
        content = self.hub.commits[commit].get(name)
        if content is None:
            self._answer(404, b"", {"X-Error-Code": "EntryNotFound", **about})
        elif name.endswith(".safetensors"):
            oid = hashlib.sha256(content).hexdigest()
            self.hub.objects[oid] = content
            about |= {"X-Linked-ETag": f'"{oid}"', "X-Linked-Size": str(len(content))}
            elsewhere = self.hub.address.replace(
                "127.0.0.1", "localhost"
            )  # another host: no token goes there
            self._answer(302, b"", {"Location": f"{elsewhere}/cdn/{oid}", **about})
        else:
            self._answer(200, content, {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', **about})

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _json(self, values: dict[str, Any], status: int = 200) -> None:
        self._answer(status, json.dumps(values).encode(), {"Content-Type": "application/json"})

    def _answer(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


class Hub:
    """What the server holds."""

    def __init__(self) -> None:
        self.address = ""
        self.token = "hf_secretsecretsecret"
        self.refuse = False
        self.repos: dict[str, dict[str, str]] = {}
        self.visibility: dict[str, Any] = {}
        self.commits: dict[str, dict[str, bytes]] = {}
        self.objects: dict[str, bytes] = {}
        self.asked: list[tuple[str, str, dict[str, str]]] = []

    def commit(self, files: dict[str, bytes]) -> str:
        text = repr((len(self.commits), sorted(files)))
        name = hashlib.sha1(text.encode()).hexdigest()
        self.commits[name] = files
        return name
