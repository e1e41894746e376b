# The official image brings few extensions, and no Composer; both come to the same list, EXTENSIONS of buildplan/php.py.
RUN if command -v docker-php-ext-install >/dev/null; then \
      stackyn-settle packages unzip git libicu-dev libpng-dev libjpeg-dev libfreetype-dev libzip-dev libpq-dev libxml2-dev && \
      docker-php-ext-configure gd --with-freetype --with-jpeg >/dev/null && \
      docker-php-ext-install -j"$(nproc)" bcmath exif gd gettext intl mysqli opcache pcntl pdo_mysql pdo_pgsql pgsql soap sockets zip >/dev/null && \
      pecl install redis >/dev/null && docker-php-ext-enable redis; \
    else \
      stackyn-settle packages apache2 libapache2-mod-php composer unzip git php-cli php-bcmath php-curl php-gd php-intl \
        php-mbstring php-mysql php-pgsql php-redis php-soap php-sqlite3 php-xml php-zip; \
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
