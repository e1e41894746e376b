RUN command -v java >/dev/null || stackyn-settle packages openjdk-@VERSION@-jre-headless
COPY java-certificates /usr/local/sbin/
RUN java-certificates
CMD ["java", "-version"]
