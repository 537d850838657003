#!/usr/bin/perl
# MikroTik::API (CPAN) behind the runner's line protocol (see use-npm.mjs): use-mikrotik-api.pl FOLDER.
use strict;
use warnings;
use JSON::PP;

my $json = JSON::PP->new->canonical->latin1;
$| = 1;
unshift @INC, $ARGV[0];
require MikroTik::API;

sub say_line { print '@', $json->encode($_[0]), "\n" }

my $api = eval {
    MikroTik::API->new({
        host => $ENV{HOST}, port => $ENV{PORT}, username => $ENV{LOGIN_USER}, password => $ENV{LOGIN_PASSWORD},
        use_ssl => $ENV{MODE} eq 'tls' ? 1 : 0, timeout => 8,
    });
};
if (!$api) {
    say_line({ refused => "$@" });
    exit;
}
say_line({ ready => JSON::PP::true });
while (my $line = <STDIN>) {
    my $request = $json->decode($line);
    my ($status, @rows) = eval { $api->query(@{$request}{qw(command attributes queries)}) };
    if ($@) {
        my $message = "$@";
        $message =~ s/ at \S+ line \d+.*//s;
        $api->_read_sentence();    # talk() leaves the !done after a !trap unread
        say_line({ trap => $message });
    } else {
        say_line({ rows => \@rows });
    }
}
