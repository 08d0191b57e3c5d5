#!/bin/sh
# Print the path of a Python of the given version (e.g. 3.13) if this machine has one; nothing otherwise.
version="$1"
if "python$version" -c '' 2>/dev/null; then command -v "python$version"; exit 0; fi
if command -v pyenv >/dev/null 2>&1; then
    full=$(pyenv versions --bare 2>/dev/null | grep -E "^$(echo "$version" | sed 's/\./\\./')(\.[0-9]+)*$" | tail -n 1)
    if [ -n "$full" ]; then echo "$(pyenv prefix "$full")/bin/python"; exit 0; fi
fi
exit 0
