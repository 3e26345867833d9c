"""What there is: the servers, the team and its work on one screen."""
