# The smallest web server that Debian's base system can run: one request at a time, one page.
use strict;
use warnings;
use IO::Socket::INET;

$| = 1;
local $SIG{TERM} = sub { exit 0 };
my $port = $ENV{PORT} // 9000;
my $server = IO::Socket::INET->new(LocalAddr => '0.0.0.0', LocalPort => $port, Listen => 64, ReuseAddr => 1)
  or die "can't listen on port $port: $!";
print "listening on port $port\n";

open my $file, '<', 'page.html' or die "page.html: $!";
my $page = do { local $/; <$file> };
$page =~ s/GREETING/$ENV{GREETING}/;
my $length = length $page;

while (my $client = $server->accept) {
  my $request = <$client> // next;
  while (defined(my $header = <$client>)) { last if $header =~ /^\r?\n$/ }
  $request =~ s/\s+$//;
  print "$request\n";
  print $client "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: $length\r\nConnection: close\r\n\r\n$page";
  close $client;
}
