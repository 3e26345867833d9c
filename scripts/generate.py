"""Writes generated/python from protos/; with --check, only proves that the two agree."""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parent.parent
PROTOS = ROOT / "protos"
GENERATED = ROOT / "generated" / "python"
# mypy-protobuf writes the stubs: they carry the contract's comments and know async from blocking.
PLUGINS = ("protoc-gen-mypy", "protoc-gen-mypy_grpc")
OUTPUTS = ("python_out=", "grpc_python_out=", "mypy_out=quiet:", "mypy_grpc_out=quiet:")


def main() -> None:
    with TemporaryDirectory() as folder:
        generate(Path(folder))
        wanted = read(Path(folder))
    present = read(GENERATED)
    stale = sorted(p for p in wanted.keys() | present.keys() if wanted.get(p) != present.get(p))
    if "--check" not in sys.argv:
        write(wanted, stale)
    elif stale:
        sys.exit("\n".join(["Not what protos/ say (try make generate):", *map(str, stale)]))


def generate(out: Path) -> None:
    scripts = Path(sys.executable).parent
    command = [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={PROTOS}"]
    command += [f"--plugin={name}={scripts / name}" for name in PLUGINS]
    command += [f"--{output}{out}" for output in OUTPUTS]
    command += sorted(str(path) for path in PROTOS.rglob("*.proto"))
    subprocess.run(command, check=True)
    for package in (out / "dovetail").iterdir():
        (package / "py.typed").touch()


def read(folder: Path) -> dict[Path, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {path.relative_to(folder): path.read_bytes() for path in files}


def write(wanted: dict[Path, bytes], stale: list[Path]) -> None:
    for path in stale:
        if path in wanted:
            (GENERATED / path).parent.mkdir(parents=True, exist_ok=True)
            (GENERATED / path).write_bytes(wanted[path])
        else:
            (GENERATED / path).unlink()


if __name__ == "__main__":
    main()
