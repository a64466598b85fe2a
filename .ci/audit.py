"""Looks up known vulnerabilities of the installed packages; without a network it says so, and that is no failure."""

import json
import subprocess
import sys

ANSWERS = 180  # seconds


def main() -> int:
    """1 if a package has a known vulnerability, 2 if the tool is missing."""
    options = ["--skip-editable", "--progress-spinner", "off", "--format", "json"]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pip_audit", *options], capture_output=True, text=True, timeout=ANSWERS, check=False
        )
    except subprocess.TimeoutExpired:
        print(f"audit: no answer in {ANSWERS} s, so nothing was looked up")
        return 0
    if "No module named pip_audit" in done.stderr:
        print("audit: pip-audit is not installed: run `make setup`")
        return 2
    return told(done.stdout, done.stderr)


def told(answer: str, errors: str) -> int:
    """Print what was found; the exit status."""
    try:
        packages = json.loads(answer)["dependencies"]
    except ValueError:
        reason = (errors.strip().splitlines() or ["it gave no answer"])[-1][:200]
        print(f"audit: the list of vulnerabilities cannot be reached, so nothing was looked up ({reason})")
        return 0
    known = [package for package in packages if "skip_reason" not in package]
    why = "" if known else ": there is no network"
    print(f"audit: {len(known)} of {len(packages)} packages were looked up{why}")
    harmful = [(package, fault) for package in known for fault in package["vulns"]]
    for package, fault in harmful:
        fixed = ", ".join(fault["fix_versions"]) or "no version yet"
        print(f"  {package['name']} {package['version']}: {fault['id']}, fixed in {fixed}")
    return 1 if harmful else 0


if __name__ == "__main__":
    sys.exit(main())
