# Run by `make audit`, with PYTHON of its environment and NPM as seen from webui/: what is known to be vulnerable in
# what Barker is made of. Ends with status 1 if something is; what a service cannot be asked for is skipped, in words.

found=0

ask() { # what it is about, the words of a service that is not reached, the command
  about=$1 away=$2
  shift 2
  if said=$("$@" 2>&1); then
    echo "$about: nothing is known"
  elif printf '%s' "$said" | grep -qiE "$away"; then
    echo "$about: skipped, as the service that knows is not reached"
  else
    echo "$about:"
    printf '%s\n' "$said"
    found=1
  fi
}

for file in requirements*.txt; do
  ask "$file" 'could not be audited|Max retries exceeded|requests\.exceptions' \
    "$PYTHON" -m pip_audit --strict --disable-pip --require-hashes --progress-spinner off -r "$file"
done
cd webui && ask webui/package-lock.json 'audit endpoint returned an error' \
  $NPM audit --package-lock-only
exit $found
