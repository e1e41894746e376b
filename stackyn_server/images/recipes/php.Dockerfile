# The official image brings few extensions, and no Composer; both come to the same list, EXTENSIONS of buildplan/php.py.
RUN if command -v docker-php-ext-install >/dev/null; then \
      stackyn-settle packages unzip git libicu-dev libpng-dev libjpeg-dev libfreetype-dev libzip-dev libpq-dev libxml2-dev \
        libbz2-dev libgmp-dev libtidy-dev libxslt1-dev && \
      docker-php-ext-configure gd --with-freetype --with-jpeg >/dev/null && \
      docker-php-ext-install -j"$(nproc)" bcmath bz2 calendar exif gd gettext gmp intl mysqli opcache pcntl pdo_mysql pdo_pgsql pgsql soap sockets tidy xsl zip >/dev/null && \
      pecl install apcu redis >/dev/null && docker-php-ext-enable apcu redis; \
    else \
      stackyn-settle packages apache2 libapache2-mod-php composer unzip git php-cli php-apcu php-bcmath php-bz2 php-curl php-gd \
        php-gmp php-intl php-mbstring php-mysql php-pgsql php-redis php-soap php-sqlite3 php-tidy php-xml php-zip; \
    fi && \
    a2enmod --quiet rewrite headers expires
RUN command -v composer >/dev/null || { \
      php -r 'copy("https://getcomposer.org/installer", "/tmp/setup.php");' && \
      php /tmp/setup.php --quiet --install-dir=/usr/local/bin --filename=composer && rm /tmp/setup.php; \
    }
COPY php/ /
ENV PORT=8080 DOCUMENT_ROOT=/app
ENTRYPOINT []
CMD ["serve-php"]
