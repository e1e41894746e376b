RUN command -v javac >/dev/null || stackyn-settle packages openjdk-@VERSION@-jdk-headless
RUN stackyn-settle packages curl unzip git
COPY java-certificates /usr/local/sbin/
RUN java-certificates
# Maven for projects without a wrapper of their own.
RUN cd /tmp && archive=apache-maven-3.9.16-bin.tar.gz && \
    curl --silent --show-error --fail --retry 3 --remote-name https://repo.maven.apache.org/maven2/org/apache/maven/apache-maven/3.9.16/$archive && \
    echo "831a8591fe20c8243b1dbe7d71e3244f31d1665b0804b2e825e38cbbe5ce0cafb8338851f90780735568773e0a6cd07bbec107cda0b896b008b861075358b6f6  $archive" | sha512sum --check --quiet && \
    tar --extract --gzip --file $archive --directory /usr/local/lib && rm $archive && \
    ln -s ../lib/apache-maven-3.9.16/bin/mvn /usr/local/bin/mvn
CMD ["jshell"]
