#!/bin/sh
# Succeed when a Java runtime is there that Spark runs on; install one where that can be done
# without asking (root on a system with apt); otherwise say in one line how to. Spark 4.1 runs on
# Java 17 to 21 (pipeline/java.py says why not on newer ones).
set -eu
oldest=17
newest=21
found=none

# Print the major version of a java command, or fail.
java_major() {
    "$1" -version 2>&1 | sed -n 's/.* version "\([0-9]*\)[^"]*".*/\1/p' | grep -m1 .
}

has_java() {
    java=java
    # Spark takes JAVA_HOME before the PATH, so an old JAVA_HOME counts.
    [ -z "${JAVA_HOME:-}" ] || java="$JAVA_HOME/bin/java"
    command -v "$java" >/dev/null 2>&1 || return 1
    major=$(java_major "$java") || return 1
    found="Java $major"
    [ "$major" -ge "$oldest" ] && [ "$major" -le "$newest" ]
}

install_command() {
    if command -v apt-get >/dev/null; then
        echo "sudo apt-get install openjdk-17-jre-headless"
    elif command -v dnf >/dev/null; then
        echo "sudo dnf install java-21-openjdk-headless"
    elif command -v zypper >/dev/null; then
        echo "sudo zypper install java-17-openjdk-headless"
    elif command -v pacman >/dev/null; then
        echo "sudo pacman -S jre17-openjdk-headless"
    elif command -v apk >/dev/null; then
        echo "sudo apk add openjdk17-jre-headless"
    elif command -v brew >/dev/null; then
        echo "brew install openjdk@17 && export JAVA_HOME=\$(brew --prefix openjdk@17)"
    else
        echo "get a Java 17 runtime from your system's packages and set JAVA_HOME"
    fi
}

install_with_apt() {
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >/dev/null
    for package in openjdk-17-jre-headless openjdk-21-jre-headless; do
        if apt-cache show "$package" >/dev/null 2>&1; then
            echo "installing $package"
            apt-get install -y -qq --no-install-recommends "$package" >/dev/null
            return
        fi
    done
    return 1
}

has_java && exit 0
if [ -n "${JAVA_HOME:-}" ]; then
    echo "Spark needs Java $oldest to $newest, and JAVA_HOME=$JAVA_HOME has $found: unset it or point it at one." >&2
    exit 1
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    install_with_apt && has_java && exit 0
fi
echo "Spark needs Java $oldest to $newest, and the PATH has $found: $(install_command)" >&2
exit 1
